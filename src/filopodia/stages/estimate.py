"""program.npz and activity.npz to estimate.json: exact counts, priced, next to the dense twin and ANNs of the same shape."""

from __future__ import annotations

from typing import Any

import msgspec

from filopodia.config import Config
from filopodia.errors import InputError
from filopodia.golden import load_golden, messages
from filopodia.report.costs import Amount
from filopodia.report.wording import count, si, si_range
from filopodia.run import RunFolder, write_text
from filopodia.stage import Progress, Stage
from filopodia.stages.ann import load_scores

# Other published tables that the same counts are priced with, so that a reader sees how far apart the prices are.
OTHER_TABLES = ("loihi1/davies2018", "loihi1/sanafe")


def estimate(folder: RunFolder, config: Config, progress: Progress | None) -> str:
    from filopodia import hardware

    program = hardware.load_program(folder.require("program.npz"))
    activity = hardware.load_activity(folder.require("activity.npz"))
    costs = config.estimate.costs or None
    step_s = config.estimate.step_s or None
    # A program may stand alone, without the network it was made from or the spikes it was fed.
    network = hardware.load(folder / "model.nir") if (folder / "model.nir").is_file() else None
    golden = load_golden(folder / "golden.npz", activity.samples) if (folder / "golden.npz").is_file() else None
    scores = load_scores(folder) if config.estimate.ann == "trained" else None
    try:
        comparison = hardware.against_baselines(
            activity,
            program,
            costs,
            step_s=step_s,
            network=network,
            accuracies=scores.accuracies() if scores else None,
            fed=messages(program, golden) if golden else None,
        )
    except InputError as error:  # say in which folder
        where = f"{folder.path}: {error.where}"
        raise InputError(error.found, where=where, allowed=error.allowed, fix=error.fix) from None
    own = comparison.pruned
    result: dict[str, Any] = {"format": "filopodia estimate", "version": 1, **comparison.to_dict(), "twin": None}
    for one in result["anns"]:
        if scores and (score := scores.networks.get(f"{one['costs']} {one['name']}")):
            one["assumptions"] = [score.made, *one["assumptions"]]
    result["others"] = [
        hardware.estimate(activity, program, table, step_s=step_s).to_dict() for table in OTHER_TABLES if table != own.costs
    ]
    twin = folder.twin
    if config.estimate.twin == "dense" and (twin / "activity.npz").is_file() and (twin / "program.npz").is_file():
        dense = hardware.load_program(twin / "program.npz")
        result["twin"] = hardware.estimate(
            hardware.load_activity(twin / "activity.npz"), dense, costs or own.costs, step_s=step_s
        ).to_dict()
    write_text(folder / "estimate.json", msgspec.json.format(msgspec.json.encode(result), indent=1).decode())
    total = Amount(low=own.total.low, nominal=own.total.nominal, high=own.total.high)
    return f"{count(own.synop_spread.mean)} synops, {si(total.nominal, 'J')} per sample ({si_range(total, 'J')}), {own.costs}"


ESTIMATE = Stage(
    "estimate",
    reads=("program.npz", "activity.npz"),
    uses=("model.nir", "golden.npz", "ann.json", "twin/program.npz", "twin/activity.npz"),
    writes=("estimate.json",),
    settings=lambda config: config.estimate,
    work=estimate,
)
