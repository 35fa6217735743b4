"""Image folders too large for memory (ImageNet): files that are decoded when a batch asks for them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

SUFFIXES = (".jpeg", ".jpg", ".png")
AREA, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)  # of a training crop: its share of the picture, its width over its height
SHORTER = 256 / 224  # the shorter side that pictures to test on are scaled to, over the side of what is cut out


class Pictures:
    """Stands in for a tensor [N, 3, size, size] float32 in [0, 1]; indexing decodes.

    `crops`: a random part of each picture, scaled to the size (Inception's augmentation, drawn from torch's generator);
    else the middle of the picture at the usual scale.
    """

    def __init__(self, files: Sequence[Path], size: int, *, crops: bool) -> None:
        self.files, self.size, self.crops = tuple(files), size, crops

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        chosen = self.part(index).files
        draws = torch.rand(len(chosen), 10, 4).tolist() if self.crops else [None] * len(chosen)
        with ThreadPoolExecutor(min(len(chosen), os.cpu_count() or 1) or 1) as pool:
            pixels = list(pool.map(self._decode, chosen, draws))
        return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).to(torch.float32).div_(255.0)

    def part(self, index: Tensor | slice) -> Pictures:
        """Some of them, none decoded."""
        files = self.files[index] if isinstance(index, slice) else [self.files[i] for i in index.tolist()]
        return Pictures(files, self.size, crops=self.crops)

    def split(self, count: int) -> Iterator[Tensor]:
        """All of them in order, `count` at a time."""
        for start in range(0, len(self), count):
            yield self[start : start + count]

    def _decode(self, file: Path, draws: list[list[float]] | None) -> np.ndarray:
        from PIL import Image

        with Image.open(file) as opened:
            picture = opened.convert("RGB")
        box = middle(*picture.size) if draws is None else random_box(*picture.size, draws)
        return np.asarray(picture.resize((self.size, self.size), Image.Resampling.BILINEAR, box=box))


def middle(width: int, height: int) -> tuple[float, float, float, float]:
    """Left, upper, right, lower of the square in the middle that is cut out to test on."""
    side = min(width, height) / SHORTER
    return (width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2


def random_box(width: int, height: int, draws: Sequence[Sequence[float]]) -> tuple[float, float, float, float]:
    """The first of the drawn boxes (each four numbers in [0, 1): area, ratio, place) that fits; else the middle."""
    for area, ratio, across, down in draws:
        pixels = width * height * (AREA[0] + area * (AREA[1] - AREA[0]))
        shape = math.exp(math.log(RATIO[0]) + ratio * math.log(RATIO[1] / RATIO[0]))
        wide, high = math.sqrt(pixels * shape), math.sqrt(pixels / shape)
        if wide <= width and high <= height:
            left, upper = across * (width - wide), down * (height - high)
            return left, upper, left + wide, upper + high
    return middle(width, height)


def class_folders(root: Path) -> tuple[list[Path], list[int]]:
    """The pictures of `root`/<class>/ and their labels: the classes in the order of their folders' names."""
    files, labels = list[Path](), list[int]()
    for label, folder in enumerate(sorted(path for path in root.iterdir() if path.is_dir())):
        found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
        files += found
        labels += [label] * len(found)
    return files, labels
