"""Compare runs: the Pareto picture of accuracy, energy, latency and cores, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from filopodia.errors import InputError
from filopodia.hardware.energy.prices import Range
from filopodia.hardware.energy.result import Estimate


@dataclass(frozen=True)
class Point:
    """A run: `accuracy` in 0..1 (None: not known), `energy` joules per sample (chip without host), `latency` seconds (None: no
    time prices), `cores` in use (0: not placed), `complete`: nothing is missing from its energy.

    `dominated_by`: runs at least as good in everything known of both and better in something, by nominal values. `surely`:
    those of them that are also better in energy with the intervals apart.
    """

    name: str
    costs: str
    accuracy: float | None
    energy: Range
    latency: Range | None
    synops: float
    cores: int
    complete: bool
    dominated_by: tuple[str, ...]
    surely: tuple[str, ...]


@dataclass(frozen=True)
class Picture:
    """Runs side by side; `front` names those that no other dominates. `warnings` say what makes runs hard to compare."""

    points: tuple[Point, ...]
    front: tuple[str, ...]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


def compare(runs: Mapping[str, tuple[float | None, Estimate]]) -> Picture:
    """The picture of runs, each by name with its accuracy and its estimate. Raises InputError for none."""
    if not runs:
        raise InputError("no runs", where="compare", allowed="one or more")
    for name, (accuracy, _) in runs.items():
        if accuracy is not None and not 0 <= accuracy <= 1:
            raise InputError(f"accuracy {accuracy!r}", where=f"compare: {name}", allowed="0 to 1, or None")
    points = []
    for name, (accuracy, found) in runs.items():
        better = [other for other in runs if other != name and _dominates(runs[other], runs[name])]
        points.append(
            Point(
                name=name,
                costs=found.costs,
                accuracy=accuracy,
                energy=found.total,
                latency=found.timing.latency if found.timing else None,
                synops=found.synop_spread.mean,
                cores=len(found.by_core),
                complete=found.complete,
                dominated_by=tuple(better),
                surely=tuple(other for other in better if runs[other][1].total.high < found.total.low),
            )
        )
    warnings = []
    for what, values in (
        ("priced with different tables", {found.costs for _, found in runs.values()}),
        ("counted by different backends", {found.backend for _, found in runs.values()}),
    ):
        if len(values) > 1:
            warnings.append(f"{what}: {', '.join(sorted(values))}")
    missing = [name for name, (_, found) in runs.items() if not found.complete]
    if missing:
        warnings.append(f"energy incomplete: {', '.join(missing)}")
    return Picture(tuple(points), tuple(p.name for p in points if not p.dominated_by), tuple(warnings))


def _dominates(a: tuple[float | None, Estimate], b: tuple[float | None, Estimate]) -> bool:
    """Whether a is nowhere worse than b and somewhere better, in what is known of both."""
    costs: list[tuple[float, float]] = [(a[1].total.nominal, b[1].total.nominal)]
    if a[0] is not None and b[0] is not None:
        costs.append((-a[0], -b[0]))
    if a[1].timing and b[1].timing:
        costs.append((a[1].timing.latency.nominal, b[1].timing.latency.nominal))
    if a[1].by_core and b[1].by_core:
        costs.append((len(a[1].by_core), len(b[1].by_core)))
    return all(x <= y for x, y in costs) and any(x < y for x, y in costs)
