"""What NIR leaves open, read from the metadata of a file and from arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import nir
import numpy as np

from filopodia.errors import InputError

ALLOWED = {
    "discretization": ("euler", "exponential"),
    "reset": ("zero", "subtract"),
    "comparison": (">", ">="),
    "trained_comparison": (">", ">="),
}


@dataclass(frozen=True)
class Semantics:
    """How the neurons of a graph step: `dt` in seconds; the rest as in `hardware.network.Semantics`.

    `fixed_point`: units per 1 of the neurons that compute in fixed point, by node name.
    """

    dt: float
    discretization: str = "euler"
    reset: str = "zero"
    comparison: str = ">"
    trained_comparison: str = ">"
    fixed_point: Mapping[str, float] = field(default_factory=dict)


def semantics(graph: nir.NIRGraph, **given: Any) -> Semantics:
    """Semantics from a graph's metadata, arguments that are not None winning. Raises InputError for values out of range."""
    said = dict(graph.metadata) if isinstance(graph.metadata, Mapping) else {}
    chosen = {key: text(said[key]) for key in ALLOWED if key in said}
    chosen |= {key: value for key, value in given.items() if value is not None and key != "dt"}
    for key, value in chosen.items():
        if value not in ALLOWED[key]:
            raise InputError(f"{key} = {value!r}", where="semantics", allowed=" or ".join(ALLOWED[key]))
    dt = given.get("dt")
    dt = said.get("dt") if dt is None else dt
    if dt is None:
        timed = [
            name for name, node in graph.nodes.items() if type(node).__name__ in ("IF", "LIF", "CubaLIF", "I", "LI", "CubaLI")
        ]
        if timed:
            raise InputError(f"the file says no dt, and {timed[0]} needs one", where="semantics", fix="pass dt in seconds")
        dt = 1.0
    if not (np.isfinite(dt) and float(dt) > 0):
        raise InputError(f"dt = {dt}", where="semantics", allowed="a positive number of seconds")
    fixed = said.get("fixed_point", {})
    return Semantics(dt=float(dt), fixed_point={text(name): float(scale) for name, scale in fixed.items()}, **chosen)


def text(value: Any) -> str:
    """A string as HDF5 may give it."""
    return value.decode("utf8") if isinstance(value, bytes) else str(value)
