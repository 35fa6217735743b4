"""Grad R: gradient rewiring with a Laplace prior (Chen et al., IJCAI 2021), done as published.

w = s·relu(k): each synapse keeps the sign s it was born with, its strength k = s·θ − d may fall below zero
(no weight, but a gradient, so it can come back), and an L1 pull of strength α draws k towards μ = −d, which is where a prior
of the asked sparsity is centred: μ = ln(2(1 − sparsity))/α. The pull is the proximal step, and every other parameter of the
network is trained as usual (the published baseline of STDS left BatchNorm and classifier untrained).
"""

from __future__ import annotations

import math
from typing import Unpack

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from filopodia.errors import InputError
from filopodia.prune.pruner import Common, PrunedWeight
from filopodia.prune.stds import STDS
from filopodia.prune.theta import SpineSize


class _Signed(SpineSize):
    sign: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__(weight)
        self.register_buffer("sign", torch.where(weight.detach() < 0, -1.0, 1.0).to(weight.dtype))

    def grow(self, theta: Tensor) -> Tensor:
        """s·relu(s·θ − d) with the identity as its gradient."""
        weight = self.sign * torch.relu(self.sign * theta.detach() - self.threshold)
        return weight + (theta - theta.detach())  # the second term is an exact 0 that carries the gradient

    def right_inverse(self, weight: Tensor) -> Tensor:
        """The strength that gives this weight, for a weight of the born sign."""
        return weight if self.mask is not None else weight + self.sign * self.threshold


class GradR(STDS):
    """Grad R at a target sparsity; `alpha` is the L1 strength α. Frozen at exactly the target like STDS."""

    def __init__(
        self,
        model: nn.Module,
        *,
        optimizer: Optimizer,
        target_sparsity: float = 0.95,
        alpha: float = 0.1,
        freeze: float = 0.75,
        **common: Unpack[Common],
    ) -> None:
        if not alpha > 0.0:
            raise InputError(f"found {alpha}", where="alpha", allowed="more than 0")
        super().__init__(model, optimizer=optimizer, target_sparsity=target_sparsity, end=freeze, freeze=freeze, **common)
        self.alpha = alpha
        self._set([abs(math.log(2.0 * (1.0 - target_sparsity))) / alpha])
        with torch.no_grad():
            for weight in self.weights:
                weight.theta.copy_(weight.spine.right_inverse(weight.theta))

    def make_spine(self, weight: Tensor) -> SpineSize:
        """A spine of fixed sign."""
        return _Signed(weight)

    @torch.no_grad()
    def advance(self) -> None:
        """The proximal step of the prior."""
        rate = self._learning_rate()
        self.learned += rate
        if self.frozen:
            return
        pull = rate * self.alpha
        for weight in self.weights:
            theta = weight.theta
            theta.sub_(torch.clamp(theta, -pull, pull))
        if self.steps == self.freeze_step:
            self.freeze_now()

    def _score(self, weight: PrunedWeight) -> Tensor:
        spine = weight.spine
        assert isinstance(spine, _Signed)
        return (spine.sign * weight.theta.detach()).clamp(min=0.0)
