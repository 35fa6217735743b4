"""The data sets of FILOPODIA_DATA where it is set, and the message where a set is missing."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from filopodia.errors import ConfigError, FileError
from filopodia.prune import DataConfig, encode, load_data

HERE = Path(os.environ.get("FILOPODIA_DATA", "/nowhere"))


def there(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not (HERE / name).is_file(), reason=f"FILOPODIA_DATA has no {name}")


@there("nmnist_small.npz")
def test_events_become_binary_frames() -> None:
    data = load_data(DataConfig(name="nmnist", encoding="frames", steps=10))
    assert data.train.images.shape == (1000, 10, 2, 34, 34)
    assert data.train.images.dtype == torch.uint8
    assert int(data.train.images.max()) == 1
    per_step = data.test.images.float().mean((0, 2, 3, 4))
    assert per_step.min() > 0.005  # every step has its events
    assert encode(data.test.images[:3], 10, "frames").shape == (10, 3, 2, 34, 34)


@there("fsdd.npz")
def test_speech_becomes_binary_frames() -> None:
    data = load_data(DataConfig(name="fsdd", encoding="frames", steps=16))
    assert (len(data.train), len(data.test)) == (2700, 300)
    assert data.train.images.shape[1:] == (16, 80)
    assert 0.3 < float(data.train.images.float().mean()) < 0.7


@pytest.mark.parametrize(
    "name", ["mnist", "fashion_mnist", "cifar10", "imagenet", "nmnist", "fsdd", "dvs128_gesture", "cifar10_dvs", "shd"]
)
def test_a_missing_set_says_where_to_get_it(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FILOPODIA_DATA", str(tmp_path))
    timed = name in ("nmnist", "fsdd", "dvs128_gesture", "cifar10_dvs", "shd")
    with pytest.raises(FileError, match="digits") as error:
        load_data(DataConfig(name=name, encoding="frames" if timed else "direct"))
    assert str(tmp_path) in str(error.value)


def test_encoding_must_fit_the_set() -> None:
    with pytest.raises(ConfigError, match="allowed: rate, latency, direct"):
        load_data(DataConfig(encoding="frames"))
    with pytest.raises(ConfigError, match="allowed: frames"):
        load_data(DataConfig(name="nmnist", encoding="rate"))


EVENTS = {"nmnist": (34, 34), "dvs128_gesture": (128, 128), "cifar10_dvs": (128, 128)}


def events_folder(root: Path, name: str) -> None:
    """Two classes of three recordings each, as SpikingJelly keeps them: the label is in the place of the only pixel."""
    for part in ("",) if name == "cifar10_dvs" else ("train", "test"):
        for label in (0, 1):
            folder = root / name / "events_np" / part / str(label)
            folder.mkdir(parents=True)
            for index in range(3):
                t = np.arange(8) * 1000
                pixel = np.full(8, 10 + 5 * label)
                np.savez(folder / f"{index}.npz", t=t, x=pixel, y=pixel + 1, p=np.arange(8) % 2)


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_spikingjellys_recordings_become_binary_frames(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events_folder(tmp_path, name)
    monkeypatch.setenv("FILOPODIA_DATA", str(tmp_path))
    data = load_data(DataConfig(name=name, encoding="frames", steps=4))
    assert data.train.images.shape[1:] == (4, 2, *EVENTS[name])
    assert data.train.images.dtype == torch.uint8
    for images, label in zip(data.train.images, data.train.labels, strict=True):
        assert images[:, :, 11 + 5 * label, 10 + 5 * label].eq(1).all()  # both polarities in every frame
        assert int(images.sum()) == 8
    assert len(data.train) + len(data.test) == (6 if name == "cifar10_dvs" else 12)


def unit(label: int) -> np.ndarray:
    return np.full(8, 600 + label)


def test_spoken_digits_of_spikingjelly_become_binary_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "shd" / "events_h5"
    folder.mkdir(parents=True)
    for part in ("train", "test"):
        with h5py.File(folder / f"shd_{part}.h5", "w") as file:
            file["labels"] = np.arange(20)
            for key, kind, value in (("times", np.float64, lambda label: np.arange(8) * 0.1), ("units", np.int64, unit)):
                held = file.create_dataset(f"spikes/{key}", (20,), h5py.vlen_dtype(kind))
                for label in range(20):
                    held[label] = value(label)
    monkeypatch.setenv("FILOPODIA_DATA", str(tmp_path))
    data = load_data(DataConfig(name="shd", encoding="frames", steps=4))
    assert data.train.images.shape == (20, 4, 700)
    assert data.train.images.sum((1, 2)).tolist() == [4] * 20
    assert [int(image[0].argmax()) - 600 for image in data.train.images] == data.train.labels.tolist()


@pytest.mark.parametrize("broken", [False, True])
def test_nothing_is_downloaded_and_the_missing_file_is_named(
    broken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nmnist" / "download").mkdir(parents=True)
    if broken:
        (tmp_path / "nmnist" / "download" / "Train.zip").write_bytes(b"half")
    monkeypatch.setenv("FILOPODIA_DATA", str(tmp_path))
    with pytest.raises(FileError, match="broken" if broken else "no file") as error:
        load_data(DataConfig(name="nmnist", encoding="frames"))
    assert "Train.zip in download/" in str(error.value)
    assert not broken or (tmp_path / "nmnist" / "download" / "Train.zip").exists()
