"""What a run is fed with: named, whole, of the right shape and range, or refused before any work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.errors import InputError
from filopodia.hardware.program import Input


def messages(inputs: tuple[Input, ...], given: Any) -> dict[str, NDArray[Any]]:
    """Messages [T, N, *shape] per input: bool for binary inputs, int32 for graded ones.

    `given` is an array where there is one input, else a mapping from names to arrays. Takes booleans, integers, and floats that
    hold whole numbers. Raises InputError for a missing or unknown name, a wrong shape or type, T = 0, N = 0, NaN, and values
    other than 0 and 1 (binary) or past +-(2^bits - 1) (graded).
    """
    arrays = named(tuple(x.name for x in inputs), given)
    ready = {x.name: _checked(x, arrays[x.name]) for x in inputs}
    check_lengths(ready)
    return ready


def check_lengths(arrays: Mapping[str, NDArray[Any]]) -> None:
    """Raise InputError unless all have the same T and N."""
    lengths = {name: array.shape[:2] for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} {list(length)}" for name, length in lengths.items())
        raise InputError(
            f"inputs of different lengths [T, N]: {found}", where="spikes", allowed="the same T and N for every input"
        )


def named(names: tuple[str, ...], given: Any, where: str = "spikes") -> dict[str, NDArray[Any]]:
    """Arrays by input name. Raises InputError where names are missing or unknown."""
    if isinstance(given, Mapping):
        if set(given) != set(names):
            raise InputError(f"arrays for {', '.join(map(str, given)) or 'nothing'}", where=where, allowed=", ".join(names))
        return {name: _array(given[name], f"{where} for input {name}") for name in names}
    if len(names) != 1:
        raise InputError(
            f"one array for {len(names)} inputs",
            where=where,
            allowed="a mapping from input name to array: " + ", ".join(names),
        )
    return {names[0]: _array(given, where)}


def _array(given: Any, where: str) -> NDArray[Any]:
    """Whatever numpy can make an array of, tensors of torch among it."""
    try:
        return np.asarray(given)
    except Exception as error:  # lists of unequal lengths, tensors on a GPU or with a gradient: each has its own kind of error
        reason = str(error).partition(". ")[0]
        raise InputError(
            f"a {type(given).__name__} that is no array ({reason})",
            where=where,
            allowed="one block of numbers [T, N, …]",
            fix="of a torch tensor take .detach().cpu().numpy(); pad lists to one length",
        ) from error


def check_shape(name: str, shape: tuple[int, ...], array: NDArray[Any]) -> None:
    """Raise InputError unless `array` is [T, N, *shape] with T and N at least 1."""
    where = f"spikes for input {name}"
    if array.shape[2:] != shape or array.ndim != len(shape) + 2:
        wanted = ", ".join(["T", "N", *map(str, shape)])
        raise InputError(
            f"shape {list(array.shape)}",
            where=where,
            allowed=f"[{wanted}]",
            fix="time first, then samples, then the input's own shape; one sample needs an axis of length 1",
        )
    if 0 in array.shape[:2]:
        axis = "T = 0 steps" if array.shape[0] == 0 else "N = 0 samples"
        raise InputError(axis, where=where, allowed="at least 1 step and 1 sample")


def _checked(node: Input, array: NDArray[Any]) -> NDArray[Any]:
    where = f"spikes for input {node.name}"
    if array.dtype.kind not in "buif":
        raise InputError(f"type {array.dtype}", where=where, allowed="bool, integers, or floats that hold whole numbers")
    check_shape(node.name, node.shape, array)
    limit = 2**node.message_bits - 1 if node.message_bits else 1
    lowest = -limit if node.message_bits else 0
    if array.dtype.kind == "b":
        return array if node.message_bits == 0 else array.astype(np.int32)
    low, high = array.min(), array.max()
    if array.dtype.kind == "f":
        if np.isnan(low) or np.isnan(high):
            raise InputError(
                f"{int(np.isnan(array).sum())} values are NaN", where=where, allowed=f"whole numbers {lowest} to {limit}"
            )
        if np.isfinite(low) and np.isfinite(high) and not np.array_equal(array, np.rint(array)):
            raise InputError(
                "values that are not whole numbers",
                where=where,
                allowed=f"whole numbers {lowest} to {limit}",
                fix="encode analog values as spikes, or as graded messages of an input with message_bits",
            )
    if low < lowest or high > limit:
        kind = f"{node.message_bits}-bit messages" if node.message_bits else "binary spikes"
        raise InputError(f"values from {low} to {high}", where=where, allowed=f"{lowest} to {limit} ({kind})")
    if node.message_bits:
        return array.astype(np.int32)
    return array.view(np.bool_) if array.dtype.itemsize == 1 else array.astype(np.bool_)
