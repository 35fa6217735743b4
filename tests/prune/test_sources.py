"""The data sets of FILOPODIA_DATA where it is set, and the message where a set is missing."""

from __future__ import annotations

import os
from pathlib import Path

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
