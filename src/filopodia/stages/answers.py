"""Right and wrong answers of a run, from its output spikes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from filopodia.golden import Golden
from filopodia.report.wording import count, percent

if TYPE_CHECKING:
    from filopodia.hardware.activity import Activity
    from filopodia.hardware.program import Program


def correct(program: Program, activity: Activity, golden: Golden) -> int | None:
    """How many samples an activity answers rightly; None without labels, a readout, or with several outputs."""
    readout = program.metadata.get("readout")
    if golden.labels is None or not readout or len(program.outputs) != 1:
        return None
    answers = activity.predictions(program.outputs[0], readout["classes"], readout["votes"])
    return int((answers == golden.labels[: activity.samples]).sum())


def answer_summary(program: Program, activity: Activity, golden: Golden) -> str:
    """ "98.6 % of 360 samples right", or only how many samples there were."""
    right = correct(program, activity, golden)
    if right is None:
        return f"{count(activity.samples)} samples of {activity.steps} steps"
    return f"{percent(right / activity.samples, 2)} of {count(activity.samples)} samples right"
