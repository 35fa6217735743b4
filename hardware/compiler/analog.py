"""Analog inputs as graded messages: real values in a range become whole numbers of so many bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.errors import InputError
from filopodia.hardware.program import Program


@dataclass(frozen=True)
class Graded:
    """An input whose values in [-largest, largest] are sent as whole numbers of `bits` bits (and a sign)."""

    bits: int = 8
    largest: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 24:
            raise InputError(f"graded messages of {self.bits} bits", allowed="1 to 24")
        if not (self.largest > 0 and np.isfinite(self.largest)):
            raise InputError(f"graded messages for values up to {self.largest}", allowed="a largest value above 0")

    @property
    def unit(self) -> float:
        """What one step of a message stands for."""
        return self.largest / ((1 << self.bits) - 1)

    def messages(self, values: Any, where: str) -> NDArray[np.int32]:
        """Real values, rounded to the nearest message. Raises InputError for values out of range."""
        array = np.asarray(values, np.float64)
        worst = float(np.max(np.abs(array), initial=0))
        if not worst <= self.largest * (1 + 1e-9):
            raise InputError(f"a value of size {worst:g}", where=where, allowed=f"-{self.largest:g} to {self.largest:g}")
        return np.rint(array / self.unit).astype(np.int32)


def analog_messages(program: Program, values: Any) -> dict[str, NDArray[Any]]:
    """What to feed a program with: real values of its graded inputs as messages, other inputs as they are.

    `values` is [T, N, *shape], or a mapping from input name to such arrays. An input is graded as it was compiled.
    """
    given = values if isinstance(values, Mapping) else {program.inputs[0].name: values}
    graded = program.metadata.get("graded", {})
    return {
        name: Graded(**graded[name]).messages(array, f"input {name}") if name in graded else np.asarray(array)
        for name, array in given.items()
    }
