"""`filopodia compare`: several runs side by side, and which of them no other beats."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import tyro

from filopodia.cli import screen
from filopodia.cli.arguments import parse
from filopodia.cli.steps import print_json
from filopodia.errors import InputError
from filopodia.report.collect import load_estimate
from filopodia.report.data import Amount
from filopodia.report.wording import count, percent, si, si_range
from filopodia.run import open_run
from filopodia.stages.verify import load_proofs

if TYPE_CHECKING:
    from filopodia.hardware.energy.compare import Picture, Point


class Arguments(msgspec.Struct, frozen=True, kw_only=True):
    paths: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Two or more run folders that have an estimate."""
    json: bool = False
    """Print JSON and nothing else."""


def main(words: Sequence[str]) -> None:
    arguments = parse("compare", Arguments, words)
    if len(arguments.paths) < 2:
        raise InputError(f"{len(arguments.paths)} run folders", allowed="two or more", fix="filopodia compare runs/a runs/b")
    picture, metrics = compared(arguments.paths)
    if arguments.json:
        print_json({**picture.to_dict(), "metrics": metrics})
        return
    rows = [cells(point, metrics[point.name], front=point.name in picture.front) for point in picture.points]
    screen.table(["run", "right", "sparse", "synops", "energy", "range", "latency", "cores"], rows)
    screen.say("● no other run here is as good in all of accuracy, energy, latency and cores, and better in one")
    for warning in picture.warnings:
        screen.say(f"! {warning}")


def compared(paths: Sequence[Path]) -> tuple[Picture, dict[str, dict[str, Any]]]:
    """The picture of the runs, and NeuroBench's metrics of each."""
    from filopodia import hardware
    from filopodia.hardware.energy.compare import compare

    runs: dict[str, tuple[float | None, hardware.Estimate]] = {}
    metrics = {}
    for path in paths:
        folder = open_run(path.expanduser())
        found = load_estimate(folder)
        plain = {key: value for key, value in found["pruned"].items() if key != "complete"}
        proofs = load_proofs(folder) if (folder / "verify.json").is_file() else None
        accuracy = next((a.value for a in proofs.accuracies if a.by == "integers"), None) if proofs else None
        runs[str(path)] = accuracy, msgspec.convert(plain, hardware.Estimate)
        metrics[str(path)] = found["metrics"]
    return compare(runs), metrics


def cells(point: Point, metrics: dict[str, Any], *, front: bool) -> list[str]:
    """One run's row."""
    energy = Amount(low=point.energy.low, nominal=point.energy.nominal, high=point.energy.high)
    return [
        f"{'●' if front else ' '} {point.name}",
        percent(point.accuracy, 2) if point.accuracy is not None else "–",
        percent(metrics["ConnectionSparsity"]),
        count(point.synops),
        si(energy.nominal, "J"),
        si_range(energy, "J"),
        si(point.latency.nominal, "s") if point.latency else "–",
        str(point.cores),
    ]
