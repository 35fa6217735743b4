"""What NIR leaves open: explicit arguments first, then the graph's metadata, then the defaults of `Semantics`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, get_args

import numpy as np

from filopodia.errors import FileError, InputError
from filopodia.hardware.network.network import Comparison, Discretization, Reset, Semantics

FORMAT = 1  # newest `filopodia_format` of the metadata that this release understands
_CHOICES = {"discretization": get_args(Discretization), "reset": get_args(Reset), "comparison": get_args(Comparison)}


def plain(value: Any) -> Any:
    """Metadata as plain Python values: HDF5 hands back bytes, numpy scalars and arrays."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value


def read_semantics(metadata: Mapping[str, Any], given: Mapping[str, Any], dt_without: float | None) -> Semantics:
    """Settle the semantics from plain `metadata` and the arguments `given` (None where the caller left them out).

    `dt_without` is the dt that the nodes themselves suggest, None where only the user can know it.
    """
    version = metadata.get("filopodia_format", FORMAT)
    if not isinstance(version, int) or version > FORMAT:
        raise FileError(
            f"filopodia_format {version!r}", where="metadata", allowed=f"up to {FORMAT}", fix="use a newer filopodia"
        )
    settled: dict[str, Any] = {}
    for key in ("dt", "discretization", "reset", "comparison", "recurrent_input_at_start", "output_delay"):
        if given.get(key) is not None:
            settled[key] = _checked(key, given[key], "argument", InputError)
        elif key in metadata:
            settled[key] = _checked(key, metadata[key], "metadata", FileError)
    if "dt" not in settled:
        if dt_without is None:
            raise InputError(
                "the file does not say how long a step is, and its neurons have time constants",
                where="dt",
                allowed="seconds per step, such as 1e-3",
                fix="give dt=..., the step the network was trained with",
            )
        settled["dt"] = dt_without
    return Semantics(**settled)


def read_fixed_point(metadata: Mapping[str, Any], nodes: Mapping[str, Any]) -> dict[str, float]:
    """Units per 1 of the neurons that were trained in fixed point; FileError for what cannot be such."""
    scales = metadata.get("fixed_point", {})
    where = "metadata fixed_point"
    if not isinstance(scales, Mapping):
        raise FileError(f"{scales!r}", where=where, allowed="a scale per node")
    for name, scale in scales.items():
        kind = type(nodes[name]).__name__ if name in nodes else "no node of the graph"
        if kind not in ("IF", "LIF"):
            raise FileError(f"{name!r} is {kind}", where=where, allowed="IF and LIF nodes")
        if isinstance(scale, bool) or not isinstance(scale, int | float) or math.frexp(scale)[0] != 0.5:
            raise FileError(f"{scale!r} for {name!r}", where=where, allowed="a power of two")
    return {name: float(scale) for name, scale in scales.items()}


def trained_at_or_above(metadata: Mapping[str, Any], given: str | None) -> bool:
    """Whether the file stores thresholds one float below those that were trained with `>=`.

    Such a file says so in its metadata; firing strictly above the lowered threshold is then the same as at the trained one,
    and the trained one is what a reset by subtraction has to take off.
    """
    return metadata.get("trained_comparison") == ">=" and metadata.get("comparison", ">") == ">" and given != ">"


def _checked(key: str, value: Any, where: str, error: type[FileError] | type[InputError]) -> Any:
    if key in _CHOICES:
        if value not in _CHOICES[key]:
            raise error(f"{value!r}", where=f"{where} {key}", allowed=", ".join(map(repr, _CHOICES[key])))
        return value
    if key == "dt":
        if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 < float(value) < math.inf:
            raise error(f"{value!r}", where=f"{where} dt", allowed="seconds per step, more than 0")
        return float(value)
    if key == "output_delay":
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 0 <= value <= 1_000_000:
            raise error(f"{value!r}", where=f"{where} output_delay", allowed="a whole number of steps from 0")
        return int(value)
    if not isinstance(value, bool | np.bool_ | int) or value not in (0, 1):
        raise error(f"{value!r}", where=f"{where} {key}", allowed="True or False")
    return bool(value)
