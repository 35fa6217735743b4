"""program.npz and golden spikes to activity.npz: the integer simulator."""

from __future__ import annotations

from filopodia.config import Config
from filopodia.golden import load_golden, messages
from filopodia.run import RunFolder
from filopodia.stage import Progress, Stage
from filopodia.stages.answers import answer_summary


def simulate(folder: RunFolder, config: Config, progress: Progress | None) -> str:
    from filopodia import hardware

    golden = load_golden(folder.require("golden.npz"), config.simulate.samples)
    program = hardware.load_program(folder.require("program.npz"))
    how = config.simulate
    activity = hardware.simulate(
        program, messages(program, golden), arithmetic=how.arithmetic, threads=how.threads or None, progress=progress
    )
    hardware.save_activity(activity, folder / "activity.npz")
    return answer_summary(program, activity, golden)


SIMULATE = Stage(
    "simulate",
    reads=("program.npz", "golden.npz"),
    writes=("activity.npz",),
    settings=lambda config: {"samples": config.simulate.samples, "arithmetic": config.simulate.arithmetic},
    work=simulate,
)
