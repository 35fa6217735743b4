"""golden.npz: what a trained network did on some samples, to be replayed after every later step. Needs numpy alone.

Entries (all readable with `numpy.load(path, allow_pickle=False)`):

    header           JSON text: {"format": "filopodia golden", "version": 1, "layers": [...], "inputs": [...],
                     "outputs": [...], "dt": seconds per step}
    input            [T, N, *shape] uint8, or float32 where the input is not spikes; "input.<name>" where there are several
    output           the same for the output, before any vote or sum over time; "output.<name>" where there are several
    spikes/<layer>   [T, N, *shape] uint8 for every spiking node of the NIR file, in the header's order, under the node's name
    labels           [N] int64, where they were given
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.errors import FileError, InputError
from filopodia.files import written_whole

FORMAT, VERSION = "filopodia golden", 1


@dataclass(frozen=True, eq=False)
class Golden:
    """Inputs, spikes and outputs of a network by node name, each [T, N, *shape]; `labels` [N] where known; `dt` in seconds."""

    inputs: Mapping[str, NDArray[Any]]
    spikes: Mapping[str, NDArray[np.uint8]]
    outputs: Mapping[str, NDArray[Any]]
    labels: NDArray[np.int64] | None = None
    dt: float = 1e-3

    def __post_init__(self) -> None:
        leads = {array.shape[:2] for group in (self.inputs, self.spikes, self.outputs) for array in group.values()}
        if len(leads) != 1 or any(len(lead) < 2 for lead in leads):
            raise InputError(
                f"arrays of different steps and samples: {sorted(leads)}", where="golden", allowed="[T, N, ...] alike"
            )
        if self.labels is not None and self.labels.shape != (self.samples,):
            raise InputError(
                f"labels of shape {self.labels.shape}", where="golden", allowed=f"[{self.samples}], one per sample"
            )

    @property
    def steps(self) -> int:
        """T."""
        return int(next(iter(self.inputs.values())).shape[0])

    @property
    def samples(self) -> int:
        """N."""
        return int(next(iter(self.inputs.values())).shape[1])


def write_golden(golden: Golden, path: str | Path) -> Path:
    """Write golden.npz beside its place, then move it there."""
    header = {
        "format": FORMAT,
        "version": VERSION,
        "layers": list(golden.spikes),
        "inputs": list(golden.inputs),
        "outputs": list(golden.outputs),
        "dt": golden.dt,
    }
    entries: dict[str, Any] = {"header": np.array(json.dumps(header)), **golden.inputs, **golden.outputs}
    entries |= {f"spikes/{name}": array for name, array in golden.spikes.items()}
    if golden.labels is not None:
        entries["labels"] = golden.labels
    with written_whole(path) as beside, beside.open("wb") as file:
        np.savez_compressed(file, **entries)
    return Path(path)


def read_golden(path: str | Path) -> Golden:
    """Read golden.npz. Raises FileError for a file that is missing, truncated, of another format or of a newer version."""
    path = Path(path)
    if not path.is_file():
        raise FileError("no such file", where=str(path), fix="write it with export.golden and export.write_golden")
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            if header.get("format") != FORMAT or header.get("version") != VERSION:
                raise FileError(
                    f"format {header.get('format')!r} version {header.get('version')!r}",
                    where=str(path),
                    allowed=f"{FORMAT!r} version {VERSION}",
                )
            return Golden(
                inputs={name: file[name] for name in header["inputs"]},
                spikes={name: file[f"spikes/{name}"] for name in header["layers"]},
                outputs={name: file[name] for name in header["outputs"]},
                labels=file["labels"] if "labels" in file.files else None,
                dt=float(header["dt"]),
            )
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, EOFError, OSError, AttributeError) as error:
        raise FileError(f"not a readable golden file ({type(error).__name__}: {error})", where=str(path)) from error
