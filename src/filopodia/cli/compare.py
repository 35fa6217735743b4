"""`filopodia compare`: several runs side by side, which of them no other beats, and a picture of that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import tyro

from filopodia.cli import screen, seeds
from filopodia.cli.arguments import parse
from filopodia.cli.steps import print_json
from filopodia.errors import FileError, InputError
from filopodia.report.collect import load_estimate
from filopodia.report.contest import amount, rivals
from filopodia.report.contrast import Entry, render_contrast
from filopodia.report.wording import count, percent, ratio, si, si_range
from filopodia.run import open_run, write_text
from filopodia.stages.verify import load_proofs

if TYPE_CHECKING:
    from filopodia.hardware.energy.compare import Picture, Point


class Arguments(msgspec.Struct, frozen=True, kw_only=True):
    paths: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Two or more run folders that have an estimate."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    """Where the picture goes (compare.html; with --json, nowhere unless told)."""
    json: bool = False
    """Print JSON and nothing else."""


def main(words: Sequence[str]) -> None:
    arguments = parse("compare", Arguments, words)
    if len(arguments.paths) < 2:
        raise InputError(f"{len(arguments.paths)} run folders", allowed="two or more", fix="filopodia compare runs/a runs/b")
    picture, estimates = compared(arguments.paths)
    entries = [entry(point, estimates[point.name]) for point in picture.points]
    out = arguments.out or (None if arguments.json else Path("compare.html"))
    if out is not None:
        write_page(out.expanduser(), render_contrast(entries, picture.warnings))
    if arguments.json:
        metrics = {name: found["metrics"] for name, found in estimates.items()}
        print_json({**picture.to_dict(), "metrics": metrics, "rivals": {one.name: one.rivals for one in entries}})
        return
    rows = [cells(one) for one in entries]
    screen.table(["run", "right", "sparse", "synops", "energy", "range", "latency", "cores"], rows)
    screen.say("● no other run here is as good in all of accuracy, energy, latency and cores, and better in one")
    for warning in picture.warnings:
        screen.say(f"! {warning}")
    if groups := seeds.over_seeds(entries):
        screen.heading("Runs that differ in their seed alone: mean ± standard deviation")
        screen.table(["runs", "right", "sparse", "synops", "energy"], [seeds.cells(group) for group in groups])
    screen.heading("Against networks of the same shape without spikes, in dynamic energy")
    screen.table(
        ["run", "against", "right", "energy", "the run takes"],
        [row for one in entries for row in rival_cells(one)],
        left=2,
    )
    screen.say(f"\npicture: {out}")


def compared(paths: Sequence[Path]) -> tuple[Picture, dict[str, dict[str, Any]]]:
    """The picture of the runs, and the content of each one's estimate.json."""
    from filopodia import hardware

    runs: dict[str, tuple[float | None, hardware.Estimate]] = {}
    estimates = {}
    for path in paths:
        folder = open_run(path.expanduser())
        found = load_estimate(folder)
        proofs = load_proofs(folder) if (folder / "verify.json").is_file() else None
        accuracy = next((a.value for a in proofs.accuracies if a.by == "integers"), None) if proofs else None
        runs[str(path)] = accuracy, hardware.Estimate.from_dict(found["pruned"])
        estimates[str(path)] = found
    return hardware.compare(runs), estimates


def entry(point: Point, estimate: Mapping[str, Any]) -> Entry:
    """One run as the page and the table show it."""
    return Entry(
        name=point.name,
        costs=point.costs,
        accuracy=point.accuracy,
        energy=amount(msgspec.to_builtins(point.energy)),
        latency=amount(msgspec.to_builtins(point.latency)) if point.latency else None,
        cores=point.cores,
        synops=point.synops,
        sparsity=estimate["metrics"]["ConnectionSparsity"],
        beaten_by=point.dominated_by,
        surely=point.surely,
        rivals=rivals(estimate),
    )


def write_page(path: Path, page: str) -> None:
    """Write the picture. Raises FileError where that cannot be done."""
    try:
        write_text(path, page)
    except OSError as error:
        raise FileError(f"cannot be written ({error.strerror})", where=str(path), fix="--out PATH") from None


def cells(one: Entry) -> list[str]:
    """One run's row."""
    return [
        f"{'●' if one.front else ' '} {one.name}",
        percent(one.accuracy, 2) if one.accuracy is not None else "–",
        percent(one.sparsity),
        count(one.synops),
        si(one.energy.nominal, "J"),
        si_range(one.energy, "J"),
        si(one.latency.nominal, "s") if one.latency else "–",
        str(one.cores or "–"),
    ]


def rival_cells(one: Entry) -> list[list[str]]:
    """A row for each network without spikes that a run is compared with."""
    return [
        [
            one.name,
            rival.name,
            percent(rival.accuracy, 2) if rival.accuracy is not None else "–",
            si(rival.energy.nominal, "J"),
            f"{ratio(rival.ratio.nominal)} ({ratio(rival.ratio.low)}–{ratio(rival.ratio.high)})",
        ]
        for rival in one.rivals
    ]
