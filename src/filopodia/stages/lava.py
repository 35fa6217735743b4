"""program.npz and golden spikes to lava.npz: the same run on real Lava, where a Python 3.10 can be found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from filopodia.config import Config
from filopodia.errors import UnsupportedError
from filopodia.golden import load_golden, messages
from filopodia.run import RunFolder
from filopodia.stage import Progress, Stage, StageSkipped
from filopodia.stages.answers import answer_summary

if TYPE_CHECKING:
    from filopodia.hardware.activity import Activity


def lava(folder: RunFolder, config: Config, progress: Progress | None) -> str:
    from filopodia import hardware
    from filopodia.hardware.lava.runner import LavaStopped

    if config.lava.use == "never":
        raise StageSkipped("lava.use is never; the integer simulator served")
    if config.lava.use == "auto" and (reason := why_not()):
        raise StageSkipped(f"{reason}; the integer simulator served")
    program = hardware.load_program(folder.require("program.npz"))
    activity: Activity
    golden = load_golden(folder.require("golden.npz"), config.lava.samples or config.simulate.samples)
    try:
        activity = hardware.run_lava(
            program,
            messages(program, golden),
            time_limit_s=config.lava.time_limit,
            run_cfg=config.lava.run_cfg,
            progress=progress,
        )
    except UnsupportedError as error:
        if config.lava.use == "auto":
            raise StageSkipped(f"Lava cannot run this program ({error.found}); the integer simulator served") from None
        raise
    except LavaStopped as stopped:
        if stopped.partial is None:
            raise
        hardware.save_activity(stopped.partial, folder / "lava.npz")
        return f"stopped early: {stopped.found}; {stopped.partial.samples} complete samples kept"
    hardware.save_activity(activity, folder / "lava.npz")
    return f"{activity.backend}: {answer_summary(program, activity, golden)}"


def why_not() -> str:
    """Why real Lava cannot run here; "" when it can."""
    from filopodia.hardware.lava.python import find_python

    return "" if find_python() else "no Python 3.10 was found (`filopodia doctor` says where it was looked for)"


LAVA = Stage(
    "lava",
    reads=("program.npz", "golden.npz"),
    writes=("lava.npz",),
    settings=lambda config: {"samples": config.lava.samples or config.simulate.samples, "run_cfg": config.lava.run_cfg},
    work=lava,
)
