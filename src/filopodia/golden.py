"""Golden spikes: the samples every stage after training runs on, and what torch answered, layer by layer (golden.npz)."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from filopodia.errors import FileError

if TYPE_CHECKING:
    from filopodia.hardware.activity import Activity
    from filopodia.hardware.program import Program


@dataclass(frozen=True, eq=False)
class Golden:
    """`spikes` [T, N, *shape] go in; `labels` [N] where known; `torch` is what torch fired, None for spikes from elsewhere."""

    spikes: NDArray[Any]
    labels: NDArray[np.int64] | None
    torch: Activity | None

    @property
    def samples(self) -> int:
        return int(self.spikes.shape[1])


def load_golden(path: Path, samples: int = 0) -> Golden:
    """Read golden.npz; with `samples`, only that many from the start. Raises FileError for what is no such file."""
    from filopodia.hardware.verify import load_golden as load

    activity, labels = load(path)
    activity = first_samples(activity, samples or activity.samples)
    fired = {name: spikes for name, spikes in activity.spikes.items() if name != "input"}
    return Golden(activity.spikes["input"], None if labels is None else labels[: activity.samples], activity if fired else None)


def first_samples(activity: Activity, samples: int) -> Activity:
    """The same run, cut to its first samples; counts and states are left out."""
    from filopodia.hardware.activity import Activity as Run

    if samples >= activity.samples:
        return activity
    spikes = {name: values[:, :samples] for name, values in activity.spikes.items()}
    rates = {name: values[:samples] for name, values in activity.rates.items()}
    return Run(activity.backend, activity.steps, samples, spikes, rates, metadata=activity.metadata)


def messages(program: Program, golden: Golden) -> Any:
    """What to feed a program with: the golden spikes, or analog values as the whole numbers it was compiled for."""
    from filopodia import hardware

    return hardware.analog_messages(program, golden.spikes) if program.metadata.get("graded") else golden.spikes


def adopt_spikes(
    source: Path, target: Path, shape: tuple[int, ...] | None = None, check: Callable[[NDArray[Any]], object] | None = None
) -> None:
    """Make golden.npz from a user's own spikes: an .npy array [T, N, *shape], or an .npz with "input" and, if known, "labels".

    `shape` is the network's input where it is known, `check` raises for values that it cannot take. Raises FileError for
    anything else, with `target` left as it was.
    """
    from filopodia import export

    try:
        loaded = np.load(source, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            entries = {"input": loaded}
        else:
            with loaded:
                entries = {name: loaded[name] for name in loaded.files if name != "header"}
    except FileNotFoundError:
        raise FileError("no such file", where=str(source), allowed="an .npy array [T, N, *shape], or golden.npz") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise FileError(f"no array can be read from it ({error})", where=str(source), allowed=".npy or .npz") from None
    if "input" not in entries or entries["input"].ndim < 3:
        found = f"shape {list(entries['input'].shape)}" if "input" in entries else f"entries {', '.join(entries)}"
        raise FileError(found, where=str(source), allowed='spikes [T, N, *shape], in an .npz under the name "input"')
    spikes = entries["input"]
    if shape is not None and spikes.shape[2:] != shape:
        allowed = f"[T, N, {', '.join(map(str, shape))}], as the network takes it"
        raise FileError(f"shape {list(spikes.shape)}", where=str(source), allowed=allowed)
    if spikes.dtype.kind not in "buif" or 0 in spikes.shape[:2] or not np.isfinite(spikes).all():
        found = f"{spikes.dtype} of shape {list(spikes.shape)}"
        found = f"{found}, with values that are not finite" if spikes.dtype.kind == "f" and 0 not in spikes.shape[:2] else found
        raise FileError(found, where=str(source), allowed="finite numbers, at least 1 step and 1 sample")
    if check is not None:
        check(spikes)
    given = spikes.astype(np.uint8) if spikes.dtype == np.bool_ else spikes
    fired = {name.removeprefix("spikes/"): values for name, values in entries.items() if name.startswith("spikes/")}
    export.write_golden(export.Golden({"input": given}, fired, {}, entries.get("labels")), target)
