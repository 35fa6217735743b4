"""How intensities become spikes, and the two augmentations."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from filopodia.errors import InputError

Encoding = Literal["rate", "latency", "direct", "frames"]


def encode(images: Tensor, steps: int, encoding: Encoding = "rate") -> Tensor:
    """Images [N, …] in [0, 1] to [T, N, …]: uint8 spikes for `rate` and `latency`, the float32 values for `direct`.

    `rate`: round(T·x) spikes, evenly spaced, deterministic. `latency`: one spike at step round((1 − x)(T − 1)), none from a
    pixel darker than 1/(2T). `frames`: samples [N, T, …] that come in steps already, with time moved to the front, dtype
    kept. The same image always gives the same spikes.
    """
    if steps < 1:
        raise InputError(f"found {steps}", where="steps", allowed="1 or more")
    if encoding == "frames":
        if images.shape[1] != steps:
            raise InputError(f"{images.shape[1]} frames per sample", where="encode", allowed=f"steps = {steps}")
        return images.transpose(0, 1)
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
    raise InputError(f"found {encoding!r}", where="encoding", allowed="rate, latency, direct, frames")


def shift(images: Tensor, reach: int, generator: torch.Generator) -> Tensor:
    """Each sample [N, …, H, W] moved by up to `reach` pixels each way, zeros moving in."""
    if not reach:
        return images
    count, height, width = images.shape[0], images.shape[-2], images.shape[-1]
    padded = torch.nn.functional.pad(images, (reach,) * 4).flatten(1, -3)
    by = torch.randint(0, 2 * reach + 1, (2, count, 1), generator=generator)
    rows, columns = by[0] + torch.arange(height), by[1] + torch.arange(width)
    moved = padded[torch.arange(count)[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2).reshape(images.shape)


def flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each sample [N, …, W] mirrored left to right with probability one half."""
    mirrored = torch.rand(images.shape[0], generator=generator) < 0.5
    return torch.where(mirrored.view(-1, *([1] * (images.dim() - 1))), images.flip(-1), images)
