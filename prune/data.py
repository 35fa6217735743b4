"""Data sets and how intensities become spikes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from filopodia.errors import InputError
from filopodia.prune.config import DataConfig

Encoding = Literal["rate", "latency", "direct"]


@dataclass(frozen=True)
class Info:
    """What a network must know of a data set before any sample is read: `shape` of one sample without time."""

    shape: tuple[int, ...]
    classes: int


INFO = {"digits": Info((1, 8, 8), 10)}


@dataclass(frozen=True, eq=False)
class Samples:
    """Images [N, C, H, W] float32 in [0, 1], and labels [N] int64."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class DataSet:
    """A training and a test part, fixed for ever."""

    train: Samples
    test: Samples


def info(name: str) -> Info:
    """Shape and classes of a data set by name."""
    if name not in INFO:
        raise InputError(f"found {name!r}", where="data.name", allowed=", ".join(INFO))
    return INFO[name]


def load_data(config: DataConfig) -> DataSet:
    """The data set of a run."""
    info(config.name)
    return digits()


def digits() -> DataSet:
    """scikit-learn's handwritten digits: 1797 images of 8 × 8 pixels with values 0…16; 360 of them, stratified, to test on.

    Source: UCI, Optical Recognition of Handwritten Digits (Alpaydin & Kaynak 1998), CC BY 4.0.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    images = (pixels / 16.0).astype(np.float32).reshape(-1, 1, 8, 8)
    parts = train_test_split(images, labels.astype(np.int64), test_size=360, random_state=0, stratify=labels)
    train_x, test_x, train_y, test_y = (torch.from_numpy(part) for part in parts)
    return DataSet(Samples(train_x, train_y), Samples(test_x, test_y))


def encode(images: Tensor, steps: int, encoding: Encoding = "rate") -> Tensor:
    """Images [N, …] in [0, 1] to [T, N, …]: uint8 spikes for `rate` and `latency`, the float32 values for `direct`.

    `rate`: round(T·x) spikes, evenly spaced, deterministic. `latency`: one spike at step round((1 − x)(T − 1)), none from a
    pixel darker than 1/(2T). The same image always gives the same spikes.
    """
    if steps < 1:
        raise InputError(f"found {steps}", where="steps", allowed="1 or more")
    if encoding == "direct":
        return images.expand(steps, *images.shape)
    time = torch.arange(steps, device=images.device).view(-1, *([1] * images.dim()))
    if encoding == "rate":
        # Integer error diffusion: the running sum of `level`, counted in wholes of T, starting half full.
        level = torch.round(images * steps).to(torch.int64).unsqueeze(0)
        half = steps // 2
        return (((time + 1) * level + half) // steps - (time * level + half) // steps).to(torch.uint8)
    if encoding == "latency":
        when = torch.round((1.0 - images) * (steps - 1)).to(torch.int64).unsqueeze(0)
        return ((time == when) & (images >= 1 / (2 * steps))).to(torch.uint8)
    raise InputError(f"found {encoding!r}", where="encoding", allowed="rate, latency, direct")


def shift(images: Tensor, reach: int, generator: torch.Generator) -> Tensor:
    """Each image [N, C, H, W] moved by up to `reach` pixels each way, zeros moving in."""
    if not reach:
        return images
    count, _, height, width = images.shape
    padded = torch.nn.functional.pad(images, (reach,) * 4)
    by = torch.randint(0, 2 * reach + 1, (2, count, 1), generator=generator)
    rows, columns = by[0] + torch.arange(height), by[1] + torch.arange(width)
    return padded[torch.arange(count)[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()
