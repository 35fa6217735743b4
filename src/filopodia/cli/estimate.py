"""`filopodia estimate`: events counted and priced, by layer and by cause, next to what it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import tyro

from filopodia.cli import screen
from filopodia.cli.steps import StepArguments, print_json, step
from filopodia.config import EstimateConfig
from filopodia.report import contest
from filopodia.report.collect import load_estimate, twin_accuracy
from filopodia.report.costs import Contestant
from filopodia.report.wording import count, percent, si, si_range
from filopodia.stages.estimate import ESTIMATE
from filopodia.stages.verify import load_proofs


class Arguments(StepArguments, frozen=True, kw_only=True):
    estimate: Annotated[EstimateConfig, tyro.conf.arg(name="")] = EstimateConfig()


def main(words: Sequence[str]) -> None:
    arguments, folder, _ = step("estimate", Arguments, words, ESTIMATE)
    result = load_estimate(folder)
    if arguments.json:
        print_json(result)
        return
    own = result["pruned"]
    screen.heading("By layer, per sample")
    rows = [
        [row["name"], percent(row["rate"]), count(row["synops"]), count(row["updates"]), si(row["energy"]["nominal"], "J")]
        for row in own["by_layer"]
    ]
    screen.table(["layer", "firing rate", "synops", "updates", "energy"], rows)
    screen.heading("By cause, per sample")
    priced = [(cause, cause.energy) for cause in contest.causes(result)]
    rows = [
        [cause.name, cause.events, *([si(energy.nominal, "J"), si_range(energy, "J")] if energy else ["no price", ""])]
        for cause, energy in priced
    ]
    screen.table(["cause", "events", "energy", "range"], rows, left=2)
    screen.heading("Compared with")
    proofs = load_proofs(folder) if (folder / "verify.json").is_file() else None
    right = next((a for a in proofs.accuracies if a.by == "integers"), None) if proofs else None
    contest_table(contest.contestants(result, right, twin_accuracy(folder)))


def contest_table(rows: tuple[Contestant, ...]) -> None:
    """Energy per sample of everything that answers the same question."""
    screen.table(
        ["what", "on", "right", "energy", "range"],
        [[row.name, row.platform, accuracy(row), si(row.energy.nominal, "J"), si_range(row.energy, "J")] for row in rows],
        left=2,
    )


def accuracy(row: Contestant) -> str:
    """Its right answers; "–" where they were not counted."""
    return percent(row.accuracy, 2) if row.accuracy is not None else "–"
