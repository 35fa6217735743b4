"""Activity files: one .npz with a header, spikes packed eight to a byte, nothing pickled."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.errors import FileError, InputError
from filopodia.files import written_whole
from filopodia.hardware.activity import Activity, Counts

FORMAT = "filopodia activity"
VERSION = 1
EVENTS = ("spikes", "synops", "updates", "messages")


def save_activity(activity: Activity, path: str | Path) -> None:
    """Write `activity` to `path` (.npz), beside it first and then renamed, so that no half-written file is ever there.

    Entries: `header` (JSON text), `spikes/<name>` (bool packed, flattened), `rates/<name>`, `states/<u|v>/<name>`
    and `counts/<name>` int64 [4, T, N] in the order spikes, synops, updates, messages.
    """
    path = Path(path)
    packed = {name: list(x.shape) for name, x in activity.spikes.items() if x.dtype == np.bool_}
    try:
        header = json.dumps(
            {
                "format": FORMAT,
                "version": VERSION,
                "backend": activity.backend,
                "steps": activity.steps,
                "samples": activity.samples,
                "packed": packed,
                "metadata": dict(activity.metadata),
            }
        )
    except TypeError as error:
        raise InputError(
            f"metadata JSON cannot hold: {error}", where="activity", allowed="plain values, lists, dicts"
        ) from None
    entries: dict[str, NDArray[Any]] = {"header": np.array(header)}
    for name, x in activity.spikes.items():
        entries[f"spikes/{name}"] = np.packbits(x.reshape(-1)) if name in packed else x
    for name, x in activity.rates.items():
        entries[f"rates/{name}"] = x
    for state, layers in activity.states.items():
        for name, x in layers.items():
            entries[f"states/{state}/{name}"] = x
    for name, counts in activity.counts.items():
        entries[f"counts/{name}"] = np.stack([getattr(counts, event) for event in EVENTS])
    with written_whole(path) as beside, beside.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **entries)


def load_activity(path: str | Path) -> Activity:
    """Read an activity file. Raises FileError when it is missing, damaged, of another format or of a newer version."""
    path = Path(path)
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            entries: dict[str, NDArray[Any]] = {name: file[name] for name in file.files}
        header = json.loads(str(entries.pop("header")))
        if header["format"] != FORMAT or header["version"] != VERSION:
            raise FileError(
                f"format {header['format']!r}, version {header['version']}",
                where=str(path),
                allowed=f"{FORMAT!r}, version {VERSION}",
            )
        return _rebuild(header, entries)
    except FileNotFoundError:
        raise FileError("no such file", where=str(path)) from None
    except (OSError, ValueError, KeyError, TypeError, IndexError, EOFError, zipfile.BadZipFile) as error:
        raise FileError(f"not an activity file, or damaged ({error})", where=str(path), fix="run the stage again") from None


def _rebuild(header: Mapping[str, Any], entries: Mapping[str, NDArray[Any]]) -> Activity:
    spikes: dict[str, NDArray[Any]] = {}
    rates: dict[str, NDArray[np.int32]] = {}
    states: dict[str, dict[str, NDArray[Any]]] = {}
    counts: dict[str, Counts] = {}
    for entry, x in entries.items():
        kind, name = entry.split("/", 1)
        if kind == "spikes":
            shape = header["packed"].get(name)
            spikes[name] = x if shape is None else _unpacked(x, tuple(shape))
        elif kind == "rates":
            rates[name] = x
        elif kind == "states":
            state, layer = name.split("/", 1)
            states.setdefault(state, {})[layer] = x
        elif kind == "counts":
            counts[name] = Counts(*x)
    return Activity(
        backend=header["backend"],
        steps=header["steps"],
        samples=header["samples"],
        spikes=spikes,
        rates=rates,
        states=states,
        counts=counts,
        metadata=header["metadata"],
    )


def _unpacked(bits: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    size = int(np.prod(shape, dtype=np.int64))
    return np.unpackbits(bits, count=size).view(np.bool_).reshape(shape)
