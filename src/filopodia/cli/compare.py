"""`filopodia compare`: several runs side by side, from their report.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import tyro

from filopodia.cli import screen
from filopodia.cli.arguments import parse
from filopodia.cli.steps import print_json
from filopodia.errors import InputError
from filopodia.report.data import Report, decode_report
from filopodia.report.wording import count, percent, si, si_range
from filopodia.run import open_run


class Arguments(msgspec.Struct, frozen=True, kw_only=True):
    paths: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Two or more run folders that have a report."""
    json: bool = False
    """Print JSON and nothing else."""


def main(words: Sequence[str]) -> None:
    arguments = parse("compare", Arguments, words)
    if len(arguments.paths) < 2:
        raise InputError(f"{len(arguments.paths)} run folders", allowed="two or more", fix="filopodia compare runs/a runs/b")
    reports = {}
    for path in arguments.paths:
        file = open_run(path.expanduser()).require("report.json")
        reports[str(path)] = decode_report(file.read_bytes(), str(file))
    rows = [row(path, report) for path, report in reports.items()]
    best = pareto(rows)
    if arguments.json:
        print_json([{**row, "pareto": path in best} for row in rows for path in [row["run"]]])
        return
    cells = [
        [
            ("● " if row["run"] in best else "  ") + row["run"],
            row["chip"],
            percent(row["accuracy"], 2) if row["accuracy"] is not None else "–",
            percent(row["sparsity"]),
            count(row["synops"]),
            f"{si(row['energy_j'], 'J')} ({si_range(reports[row['run']].own.energy, 'J')})",
            si(row["latency_s"], "s") if row["latency_s"] else "–",
            str(row["cores"]),
        ]
        for row in rows
    ]
    screen.table(["run", "chip", "accuracy", "sparsity", "synops", "energy", "latency", "cores"], cells, left=2)
    screen.say("● no other run here is at least as accurate for less energy")


def row(path: str, report: Report) -> dict[str, Any]:
    """The numbers that runs are compared by, per sample."""
    own = report.own
    chip = next((a for a in report.accuracies if a.by == "integers"), None)
    return {
        "run": path,
        "chip": report.chip,
        "accuracy": chip.value if chip else None,
        "sparsity": report.sparsity,
        "synops": report.synops,
        "energy_j": own.energy.nominal,
        "latency_s": own.latency.nominal if own.latency else None,
        "cores": len(report.cores),
    }


def pareto(rows: Sequence[dict[str, Any]]) -> set[str]:
    """Runs that no other run beats in one of accuracy and energy without being worse in the other."""

    def beaten(a: dict[str, Any], b: dict[str, Any]) -> bool:
        right_a, right_b = a["accuracy"] or 0.0, b["accuracy"] or 0.0
        as_good = right_b >= right_a and b["energy_j"] <= a["energy_j"]
        return bool(as_good and (right_b > right_a or b["energy_j"] < a["energy_j"]))

    return {a["run"] for a in rows if not any(beaten(a, b) for b in rows)}
