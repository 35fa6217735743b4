"""Data sets by name: what a network must know of each, and how each is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from filopodia.errors import ConfigError, InputError
from filopodia.prune import sources
from filopodia.prune.config import DataConfig
from filopodia.prune.pictures import Pictures


@dataclass(frozen=True)
class Info:
    """What a network must know of a data set before any sample is read.

    `shape` of one sample without time; `timed` if samples come in steps (events, audio) instead of as images.
    """

    shape: tuple[int, ...]
    classes: int
    timed: bool = False


@dataclass(frozen=True, eq=False)
class Samples:
    """Images [N, C, H, W] float32 in [0, 1], or timed samples [N, T, …] uint8; and labels [N] int64."""

    images: Tensor | Pictures
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, index: Tensor | slice) -> Samples:
        """Some of them."""
        images = self.images.part(index) if isinstance(self.images, Pictures) else self.images[index]
        return Samples(images, self.labels[index])


@dataclass(frozen=True, eq=False)
class DataSet:
    """A training and a test part, fixed for ever."""

    train: Samples
    test: Samples


INFO = {
    "digits": Info((1, 8, 8), 10),
    "mnist": Info((1, 28, 28), 10),
    "fashion_mnist": Info((1, 28, 28), 10),
    "cifar10": Info((3, 32, 32), 10),
    "imagenet": Info((3, 224, 224), 1000),
    "nmnist": Info((2, 34, 34), 10, timed=True),
    "fsdd": Info((sources.BANDS * sources.LEVELS,), 10, timed=True),
    "dvs128_gesture": Info((2, 128, 128), 11, timed=True),
    "cifar10_dvs": Info((2, 128, 128), 10, timed=True),
    "shd": Info((700,), 20, timed=True),
}
READERS: dict[str, Callable[[int], sources.Parts]] = {
    "digits": lambda steps: sources.digits(),
    "mnist": lambda steps: sources.mnist(),
    "fashion_mnist": lambda steps: sources.fashion_mnist(),
    "cifar10": lambda steps: sources.cifar10(),
    "imagenet": lambda steps: sources.imagenet(),
    "nmnist": sources.nmnist,
    "fsdd": sources.fsdd,
    "dvs128_gesture": sources.dvs128_gesture,
    "cifar10_dvs": sources.cifar10_dvs,
    "shd": sources.shd,
}


def info(name: str) -> Info:
    """Shape and classes of a data set by name."""
    if name not in INFO:
        raise InputError(f"found {name!r}", where="data.name", allowed=", ".join(INFO))
    return INFO[name]


def load_data(config: DataConfig) -> DataSet:
    """The data set of a run. FileError says where to get one that is missing; ConfigError for an encoding that can't be."""
    about = info(config.name)
    if about.timed != (config.encoding == "frames"):
        allowed = "frames" if about.timed else "rate, latency, direct"
        raise ConfigError(f"{config.encoding!r} with {config.name}", where="data.encoding", allowed=allowed)
    images, labels, test_images, test_labels = READERS[config.name](config.steps)
    return DataSet(_samples(images, labels), _samples(test_images, test_labels))


def _samples(images: np.ndarray | Pictures, labels: np.ndarray) -> Samples:
    held = images if isinstance(images, Pictures) else torch.from_numpy(np.ascontiguousarray(images))
    return Samples(held, torch.from_numpy(labels.astype(np.int64)))
