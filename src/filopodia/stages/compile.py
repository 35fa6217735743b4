"""model.nir to program.npz: integers placed on a chip's cores."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from filopodia.config import Config
from filopodia.golden import load_golden
from filopodia.report.wording import count
from filopodia.run import RunFolder, fingerprint
from filopodia.stage import Progress, Stage

if TYPE_CHECKING:
    from filopodia.hardware import Graded

BYTE = 255.0


def compile(folder: RunFolder, config: Config, progress: Progress | None) -> str:
    from filopodia import hardware

    network = hardware.load(folder.require("model.nir"))
    how = config.compile
    program = hardware.compile(
        network,
        chip=how.chip,
        calibration=calibration(folder, how.calibration),
        graded={network.inputs[0]: graded} if len(network.inputs) == 1 and (graded := analog(folder)) else None,
        sums=how.sums,
        wide=how.wide,
        reset=how.reset,
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


def analog(folder: RunFolder) -> Graded | None:
    """How inputs that are no spikes are sent: as whole numbers of 8 bits and a sign. None for spikes, or without any input.

    Whole numbers up to 255 go as they are. Others get the least power of two that none of them exceeds as their largest.
    """
    from filopodia.hardware import Graded

    inputs = [load_golden(folder / name).spikes for name in ("calibration.npz", "golden.npz") if (folder / name).is_file()]
    if all(values.dtype == np.bool_ or ((values == 0) | (values == 1)).all() for values in inputs):
        return None
    largest = max(float(np.abs(values.astype(np.float64)).max(initial=0.0)) for values in inputs)
    if largest <= BYTE and all(np.array_equal(values, np.rint(values)) for values in inputs):
        return Graded(bits=8, largest=BYTE)
    return Graded(bits=8, largest=2.0 ** math.ceil(math.log2(largest)))


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
