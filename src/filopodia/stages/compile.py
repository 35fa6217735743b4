"""model.nir to program.npz: integers placed on a chip's cores."""

from __future__ import annotations

from typing import Any

from filopodia.config import Config
from filopodia.report.wording import count
from filopodia.run import RunFolder
from filopodia.stage import Progress, Stage


def compile(folder: RunFolder, config: Config, progress: Progress | None) -> str:
    from filopodia import hardware

    network = hardware.load(folder.require("model.nir"))
    program = hardware.compile(network, chip=config.compile.chip)
    hardware.save_program(program, folder / "program.npz")
    neurons = sum(layer.size for layer in program.layers)
    return f"{count(neurons)} neurons in {len(program.layers)} layers on {cores(len(program.cores))} of {program.chip}"


def cores(number: int) -> str:
    """ "1 core", "5 cores"."""
    return f"{number} core" if number == 1 else f"{number} cores"


def settings(config: Config) -> dict[str, Any]:
    """What the program depends on; a chip file of the user's by its content."""
    from pathlib import Path

    from filopodia.run import fingerprint

    chip = config.compile.chip
    content = fingerprint(Path(chip)) if chip.endswith(".toml") and Path(chip).is_file() else ""
    return {"compile": config.compile, "chip_file": content}


COMPILE = Stage(
    "compile",
    reads=("model.nir",),
    uses=("golden.npz",),
    writes=("program.npz",),
    settings=settings,
    work=compile,
)
