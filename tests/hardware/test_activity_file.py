"""Activity files: back as they were, never pickled, never half written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from filopodia.errors import FileError, InputError
from filopodia.hardware import load_activity, save_activity
from filopodia.hardware.activity import Activity, Counts


def activity() -> Activity:
    rng = np.random.default_rng(0)
    counts = Counts(*(rng.integers(0, 9, (5, 3)) for _ in range(4)))
    return Activity(
        backend="simulator",
        steps=5,
        samples=3,
        spikes={"x": rng.random((5, 3, 2, 7)) < 0.3, "a.b/c": rng.integers(-9, 9, (5, 3, 4)).astype(np.int32)},
        rates={"a.b/c": rng.integers(0, 5, (3, 4)).astype(np.int32)},
        states={"u": {"a.b/c": rng.integers(-9, 9, (5, 3, 4)).astype(np.int32)}},
        counts={"a.b/c": counts},
        metadata={"threads": 2, "kernels": {"a": "S"}},
    )


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    saved = activity()
    save_activity(saved, tmp_path / "activity.npz")
    loaded = load_activity(tmp_path / "activity.npz")
    assert (loaded.backend, loaded.steps, loaded.samples, loaded.metadata) == ("simulator", 5, 3, saved.metadata)
    for name, x in saved.spikes.items():
        np.testing.assert_array_equal(loaded.spikes[name], x)
        assert loaded.spikes[name].dtype == x.dtype
    np.testing.assert_array_equal(loaded.rates["a.b/c"], saved.rates["a.b/c"])
    np.testing.assert_array_equal(loaded.states["u"]["a.b/c"], saved.states["u"]["a.b/c"])
    for event in ("spikes", "synops", "updates", "messages"):
        np.testing.assert_array_equal(getattr(loaded.counts["a.b/c"], event), getattr(saved.counts["a.b/c"], event))
    assert [path.name for path in tmp_path.iterdir()] == ["activity.npz"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "activity.npz"
    with pytest.raises(FileError, match="no such file"):
        load_activity(path)
    save_activity(activity(), path)
    whole = path.read_bytes()
    for damaged in (whole[:100], whole[: len(whole) // 2], b"", b"text"):
        path.write_bytes(damaged)
        with pytest.raises(FileError, match=r"activity\.npz"):
            load_activity(path)
    np.savez(path, header=np.array('{"format": "filopodia golden", "version": 1}'))
    with pytest.raises(FileError, match="filopodia golden"):
        load_activity(path)


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be written"):
        save_activity(activity(), tmp_path / "none" / "activity.npz")
    with pytest.raises(InputError, match="JSON"):
        save_activity(Activity("simulator", 1, 1, {}, {}, metadata={"x": np.zeros(1)}), tmp_path / "activity.npz")
    assert list(tmp_path.iterdir()) == []
