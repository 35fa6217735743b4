"""model.nir to program.npz: integers placed on a chip's cores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from filopodia.config import Config
from filopodia.golden import load_golden
from filopodia.report.wording import count
from filopodia.run import RunFolder, fingerprint
from filopodia.stage import Progress, Stage


def compile(folder: RunFolder, config: Config, progress: Progress | None) -> str:
    from filopodia import hardware

    network = hardware.load(folder.require("model.nir"))
    how = config.compile
    program = hardware.compile(
        network,
        chip=how.chip,
        calibration=calibration(folder, how.calibration),
        sums=how.sums,
        wide=how.wide,
        objective=how.objective,
        progress=progress,
    )
    hardware.save_program(program, folder / "program.npz")
    neurons = sum(layer.size for layer in program.layers)
    return f"{count(neurons)} neurons in {len(program.layers)} layers on {cores(len(program.cores))} of {program.chip}"


def calibration(folder: RunFolder, samples: int) -> NDArray[Any] | None:
    """Spikes to choose weight scales on: the export's training samples, else the golden ones; None where there are none."""
    for name in ("calibration.npz", "golden.npz"):
        if samples and (folder / name).is_file():
            return load_golden(folder / name, samples).spikes
    return None


def cores(number: int) -> str:
    """ "1 core", "5 cores"."""
    return f"{number} core" if number == 1 else f"{number} cores"


def settings(config: Config) -> dict[str, Any]:
    """What the program depends on; a chip file of the user's by its content."""
    chip = config.compile.chip
    content = fingerprint(Path(chip)) if chip.endswith(".toml") and Path(chip).is_file() else ""
    return {"compile": config.compile, "chip_file": content}


COMPILE = Stage(
    "compile",
    reads=("model.nir",),
    uses=("calibration.npz", "golden.npz"),
    writes=("program.npz",),
    settings=settings,
    work=compile,
)
