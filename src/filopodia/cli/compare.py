"""`filopodia compare`: several runs side by side, which of them no other beats, what is left of each, and pictures of that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import tyro

from filopodia.cli import screen, seeds
from filopodia.cli.arguments import parse
from filopodia.cli.steps import print_json
from filopodia.errors import InputError
from filopodia.report.collect import load_estimate
from filopodia.report.contest import amount, rivals
from filopodia.report.contrast import Entry, render_contrast
from filopodia.report.curves import Trained
from filopodia.report.wording import count, over, percent, ratio, si, si_range
from filopodia.run import RunFolder, open_run, write_text
from filopodia.stages.verify import load_proofs

if TYPE_CHECKING:
    from filopodia.hardware.energy.compare import Picture, Point


class Arguments(msgspec.Struct, frozen=True, kw_only=True):
    paths: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Two or more run folders that were trained or have an estimate."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    """Where the picture goes (compare.html; with --json, nowhere unless told)."""
    json: bool = False
    """Print JSON and nothing else."""


def main(words: Sequence[str]) -> None:
    arguments = parse("compare", Arguments, words)
    different = dict.fromkeys(arguments.paths)
    if len(different) < 2:
        found = f"{len(different)} run folder{'' if len(different) == 1 else 's'}"
        raise InputError(found, allowed="two or more", fix="filopodia compare runs/a runs/b")
    folders = {str(path): open_run(path.expanduser()) for path in different}
    known = {name: seeds.load_training(name, folder) for name, folder in folders.items()}
    trainings = [training for training in known.values() if training is not None]
    # A run that was only trained has a place in the pictures of sparsity; what has neither training nor estimate has none.
    priced = {name: one for name, one in folders.items() if (one / "estimate.json").is_file() or known[name] is None}
    picture, estimates = compared(priced)
    warnings = [*picture.warnings, *left_out(list(folders), list(priced), [one.name for one in trainings])]
    entries = [entry(point, estimates[point.name]) for point in picture.points]
    methods = seeds.methods_of(trainings)
    out = arguments.out or (None if arguments.json else Path("compare.html"))
    if out is not None:
        curves = [method.curve for method in methods]
        write_text(out.expanduser(), render_contrast(entries, warnings, curves, len(folders)))
    if arguments.json:
        metrics = {name: estimate["metrics"] for name, estimate in estimates.items()}
        trained = {one.name: msgspec.to_builtins(one.came_to) for one in trainings}
        rivals = {one.name: one.rivals for one in entries}
        print_json({**picture.to_dict(), "metrics": metrics, "rivals": rivals, "methods": plain(methods), "trained": trained})
        return
    print_tables(entries, methods)
    for warning in warnings:
        screen.say(f"! {warning}")
    screen.say(f"\npicture: {out}")


def left_out(names: Sequence[str], priced: Sequence[str], trained: Sequence[str]) -> list[str]:
    """Which runs are in some of the pictures only."""
    missing = (
        ("no estimate (`filopodia run` makes one)", [name for name in names if name not in priced]),
        (
            "not in the pictures of sparsity, since not trained here or by an earlier release",
            [n for n in names if n not in trained],
        ),
    )
    return [f"{what}: {', '.join(absent)}" for what, absent in missing if absent]


def plain(methods: Sequence[seeds.Method]) -> list[dict[str, Any]]:
    """The methods for JSON: which runs are one point, and its means and deviations."""
    return [
        {
            "label": method.label,
            "points": [
                {
                    "runs": [one.name for one in point],
                    **{field: over([getattr(one.came_to, field) for one in point]) for field in Trained.__struct_fields__},
                }
                for point in method.points
            ],
        }
        for method in methods
    ]


def print_tables(entries: Sequence[Entry], methods: Sequence[seeds.Method]) -> None:
    """What the runs cost, what they came to, and what networks without spikes would cost."""
    if entries:
        screen.table(
            ["run", "right", "sparse", "synops", "energy", "range", "latency", "cores"], [cells(one) for one in entries]
        )
        screen.say("● no other run here is as good in all of accuracy, energy, latency and cores, and better in one")
    if methods:
        several = any(len(point) > 1 for method in methods for point in method.points)
        over_seeds = ", mean ± standard deviation over seeds" if several else ""
        screen.heading(f"Right in torch, and zero weights and synapses, in %{over_seeds}")
        rows = seeds.rows(methods, {one.name: one.energy.nominal for one in entries})
        screen.table(["method", "right", "weights", "synapses", "synops", "energy"], rows)
    if entries:
        screen.heading("Against networks of the same shape without spikes, in dynamic energy")
        screen.table(
            ["run", "against", "right", "energy", "the run takes"], [row for one in entries for row in rival_cells(one)], left=2
        )


def compared(folders: Mapping[str, RunFolder]) -> tuple[Picture, dict[str, dict[str, Any]]]:
    """The picture of the runs, and the content of each one's estimate.json."""
    from filopodia import hardware
    from filopodia.hardware.energy.compare import Picture

    runs: dict[str, tuple[float | None, hardware.Estimate]] = {}
    estimates = {}
    for name, folder in folders.items():
        found = load_estimate(folder)
        proofs = load_proofs(folder) if (folder / "verify.json").is_file() else None
        accuracy = next((a.value for a in proofs.accuracies if a.by == "integers"), None) if proofs else None
        runs[name] = accuracy, hardware.Estimate.from_dict(found["pruned"])
        estimates[name] = found
    return hardware.compare(runs) if runs else Picture((), (), ()), estimates


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
