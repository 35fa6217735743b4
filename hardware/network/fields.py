"""Fields of a node as they are stored, made certain: required ones there, numbers finite, arrays of the wanted shape."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.errors import FileError

Shape = tuple[int, ...]
Floats = NDArray[np.floating[Any]]


def wrong(name: str, found: str, *, allowed: str = "", fix: str = "") -> FileError:
    """The error for node `name`."""
    return FileError(found, where=f"node {name!r}", allowed=allowed, fix=fix)


@dataclass(frozen=True, eq=False)
class Fields:
    """The stored fields of node `name`, of NIR type `kind`; every reader names both in its errors. `said` is its metadata."""

    name: str
    kind: str
    stored: Mapping[str, Any]
    said: Mapping[str, Any] = field(default_factory=dict)

    def has(self, key: str) -> bool:
        return self.stored.get(key) is not None

    def wrong(self, found: str, *, allowed: str = "", fix: str = "") -> FileError:
        return wrong(self.name, f"{self.kind}: {found}", allowed=allowed, fix=fix)

    def array(self, key: str, default: float | None = None) -> Floats:
        """Field `key` as float32 or float64 (float32 unless stored in double precision), every number finite; a copy."""
        if not self.has(key):
            if default is None:
                raise self.wrong(f"no field {key!r}", fix="write the graph with nir.write, which stores every field")
            return np.asarray(default, dtype=np.float32)
        value = np.asarray(self.stored[key])
        if value.dtype.kind not in "fiub":
            raise self.wrong(f"{key} holds {value.dtype}", allowed="numbers")
        with np.errstate(over="ignore"):  # too large for float32 becomes infinite, which is refused below
            floats: Floats = value.astype(np.float64 if value.dtype == np.float64 else np.float32)
        if not np.isfinite(floats).all():
            raise self.wrong(f"{key} holds values that are not finite", allowed="finite numbers")
        return floats

    def whole(self, key: str, count: int, default: int | None = None, least: int = 0) -> Shape:
        """Field `key` as `count` whole numbers of at least `least`; one number stands for all of them."""
        if not self.has(key):
            if default is None:
                raise self.wrong(f"no field {key!r}")
            return (default,) * count
        value = np.atleast_1d(np.asarray(self.stored[key]))
        if value.dtype.kind not in "iuf" or value.ndim != 1 or value.size not in (1, count) or (value != np.floor(value)).any():
            raise self.wrong(f"{key} is {self.stored[key]!r}", allowed=f"one whole number or {count}")
        numbers = tuple(int(v) for v in value) * (count if value.size == 1 else 1)
        if min(numbers) < least or max(numbers) > 2**31:
            raise self.wrong(f"{key} is {numbers}", allowed=f"whole numbers from {least}")
        return numbers

    def shape(self, key: str) -> Shape | None:
        """Field `key` as a shape, or None where it is absent, empty of meaning, or holds an unknown (not positive) length."""
        if not self.has(key):
            return None
        value = np.asarray(self.stored[key])
        if value.dtype.kind not in "iuf" or value.ndim > 1:
            raise self.wrong(f"{key} is {self.stored[key]!r}", allowed="a list of lengths")
        lengths = tuple(int(v) for v in np.atleast_1d(value))
        return lengths if lengths and min(lengths) > 0 else None

    def fill(self, key: str, shape: Shape, default: float | None = None) -> Floats:
        """Field `key` as a read-only array of the neurons' `shape`; a scalar stands for all of them."""
        return self.spread(key, self.array(key, default), shape)

    def spread(self, key: str, value: Floats, shape: Shape) -> Floats:
        """`value` broadcast to `shape` without copying; leading axes of length one are taken as a stored sample axis."""
        while value.ndim > len(shape) and value.shape[0] == 1:
            value = value[0]
        try:
            return np.broadcast_to(value, shape)
        except ValueError:
            raise self.wrong(
                f"{key} has shape {list(value.shape)}, but the node's signal has shape {list(shape)}",
                allowed=f"{list(shape)}, or a shape that broadcasts to it",
            ) from None

    def positive(self, key: str, shape: Shape) -> Floats:
        """As `fill`, every value more than 0 (a time constant)."""
        value = self.array(key)
        if value.size and value.min() <= 0:
            raise self.wrong(f"{key} is {value.min():g}", allowed="time constants more than 0, in seconds")
        return self.spread(key, value, shape)


def size(shape: Shape) -> int:
    """Elements of `shape`, without overflow."""
    return math.prod(shape)
