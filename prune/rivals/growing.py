"""Sparse all along: drop the smallest weights of each layer and grow as many elsewhere, at random or by gradient."""

from __future__ import annotations

import math
from typing import Unpack

import torch
from torch import Tensor, nn

from filopodia.prune.pruner import PrunedWeight
from filopodia.prune.rivals.magnitude import RandomMask
from filopodia.prune.rivals.masked import Window
from filopodia.prune.theta import SpineSize


class SparseEvolution(RandomMask):
    """SET (Mocanu et al. 2018): every `every` steps, `share` of each layer's weights move to random places."""

    def __init__(self, model: nn.Module, *, every: int = 50, share: float = 0.3, **window: Unpack[Window]) -> None:
        self.share = share
        super().__init__(model, every=every, **window)

    def change(self, progress: float) -> list[Tensor]:
        """Drop and grow the same number in every layer."""
        share = self.moved(progress)
        return [self._move(weight, mask, share) for weight, mask in zip(self.weights, self.masks(), strict=True)]

    def moved(self, progress: float) -> float:
        """The share of a layer's weights that moves."""
        return self.share

    def worth(self, weight: PrunedWeight) -> Tensor:
        """What decides where weights grow, the largest first."""
        return torch.rand(weight.theta.shape).to(weight.theta.device)

    def _move(self, weight: PrunedWeight, mask: Tensor, share: float) -> Tensor:
        count = min(int(share * int(mask.sum())), int((~mask).sum()))
        if not count:
            return mask
        size = torch.where(mask, weight.theta.detach().abs(), math.inf).flatten()
        worth = torch.where(mask, -math.inf, self.worth(weight)).flatten()
        moved = mask.flatten().clone()
        moved[torch.sort(size, stable=True).indices[:count]] = False
        moved[torch.sort(worth, descending=True, stable=True).indices[:count]] = True
        return moved.view(mask.shape)


class _DenseGradient(SpineSize):
    """A masked weight whose θ receives the gradient of every entry, so that RigL sees where growing would pay."""

    def forward(self, theta: Tensor) -> Tensor:
        return theta if self.mask is None else theta - torch.where(self.mask, 0.0, theta.detach())


class RigL(SparseEvolution):
    """RigL (Evci et al. 2020): as SET, but weights grow where the gradient is largest, and fewer move as time goes by."""

    def make_spine(self, weight: Tensor) -> SpineSize:
        """Masked, with a dense gradient."""
        return _DenseGradient(weight)

    def moved(self, progress: float) -> float:
        """The half cosine of the paper."""
        return self.share * (1.0 + math.cos(math.pi * progress)) / 2.0

    def worth(self, weight: PrunedWeight) -> Tensor:
        """|gradient| of the last batch."""
        gradient = weight.theta.grad
        return torch.zeros_like(weight.theta) if gradient is None else gradient.abs()

    def advance(self) -> None:
        """As SET; and what the optimizer did to masked entries is undone after every step."""
        super().advance()
        self.freeze(self.masks())
