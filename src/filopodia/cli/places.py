"""Which run folder a command means: the one named, the one around a named file, or a new one for a file from elsewhere."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import msgspec
from numpy.typing import NDArray

from filopodia.config import Config, save_config
from filopodia.errors import FileError
from filopodia.files import written_whole
from filopodia.golden import adopt_spikes
from filopodia.run import FILES, RunFolder, fingerprint, open_run

DEFAULT = Path("runs/digits")
NETWORKS = (".nir", ".h5", ".hdf5")


def place(path: Path, out: Path | None = None, spikes: Path | None = None) -> RunFolder:
    """The run folder of `path`: a folder as it is, a chain's file by its folder, any other network or program adopted.

    An adopted file is copied to `out`, or to runs/NAME, under the chain's own name; `spikes` become its golden spikes.
    """
    path = path.expanduser()
    if path.is_file() and (out is not None or path.name not in FILES):
        folder = adopt(path, out or Path("runs") / path.stem)
    elif path.is_file():
        folder = open_run(path.parent)
    else:
        folder = open_run(path)
    if spikes is not None:
        adopt_spikes(spikes.expanduser(), folder / "golden.npz", input_shape(folder), lambda given: check_spikes(folder, given))
    return folder


def check_spikes(folder: RunFolder, given: NDArray[Any]) -> None:
    """Raise InputError for values that the folder's program, where it has one, cannot take; golden.npz is not lost to them."""
    from filopodia import hardware
    from filopodia.hardware.simulator.inputs import messages

    if (folder / "program.npz").is_file():
        program = hardware.load_program(folder / "program.npz")
        if len(program.inputs) == 1 and not program.metadata.get("graded"):
            messages(program.inputs, given)


def input_shape(folder: RunFolder) -> tuple[int, ...] | None:
    """What the folder's network takes, without time and sample axes; None when it has none, or several inputs."""
    from filopodia import hardware

    if (folder / "program.npz").is_file():
        shapes = [node.shape for node in hardware.load_program(folder / "program.npz").inputs]
    elif (folder / "model.nir").is_file():
        network = hardware.load(folder / "model.nir")
        shapes = [network.shapes[name] for name in network.inputs]
    else:
        return None
    return tuple(shapes[0]) if len(shapes) == 1 else None


def adopt(path: Path, out: Path) -> RunFolder:
    """Copy a network or program into a run folder of its own, so that the chain can go on from it."""
    name = "model.nir" if path.suffix in NETWORKS else npz_kind(path)
    folder = open_run(out, create=True)
    target = folder / name
    if not target.is_file() or fingerprint(target) != fingerprint(path):
        with written_whole(target) as beside:
            shutil.copyfile(path, beside)
    if not (folder / "config.toml").is_file():
        save_config(folder, msgspec.structs.replace(Config(), name=path.stem))
    return folder


def npz_kind(path: Path) -> str:
    """The chain's name for an .npz file, by the format its header states."""
    import numpy as np

    names = {"filopodia program": "program.npz", "filopodia activity": "activity.npz", "filopodia golden": "golden.npz"}
    try:
        with np.load(path, allow_pickle=False) as file:
            return names[json.loads(str(file["header"]))["format"]]
    except (OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, zipfile.BadZipFile):
        allowed = f"a run folder, a NIR file ({', '.join(NETWORKS)}), or a filopodia .npz"
        raise FileError("not a file this command can start from", where=str(path), allowed=allowed) from None
