"""UPR: unstructured weight and neuron pruning by learned masks (Shi et al., ICLR 2024), as far as its description goes.

Every weight has a mask σ(β·a) with a learned score a, every output unit (a row, a filter) one of its own, and w = θ·mask·unit
mask. β grows, so that masks move to 0 or 1, and a penalty pulls the scores down. Where it departs from the original: units
stand for its neurons (a mask per neuron of a feature map cannot be kept in plain layers), the penalty is the same for all,
and the end is a hard mask at exactly the asked sparsity, for the comparison.
"""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from filopodia.arguments import number, share
from filopodia.errors import InputError
from filopodia.prune.pruner import Common, Pruner, smallest
from filopodia.prune.theta import SpineSize

START, LAST = 5.0, 200.0  # β at the first and at the last step before the freeze
INITIAL = 0.5  # scores of a fresh mask: σ(5 · 0.5) = 0.92


class _LearnedMask(SpineSize):
    """The scores are Parameters of the spine, so they move, copy and save with the model."""

    sharpness: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__(weight)
        self.scores = nn.Parameter(torch.full_like(weight.detach(), INITIAL))
        self.units = nn.Parameter(torch.full_like(weight.detach()[(slice(None), *[slice(0, 1)] * (weight.dim() - 1))], INITIAL))
        self.register_buffer("sharpness", torch.full((), START, dtype=weight.dtype, device=weight.device))

    def soft_mask(self) -> Tensor:
        """The product of both masks, in (0, 1), the weight's shape."""
        return torch.sigmoid(self.sharpness * self.scores) * torch.sigmoid(self.sharpness * self.units)

    def grow(self, theta: Tensor) -> Tensor:
        return theta * self.soft_mask()

    def right_inverse(self, weight: Tensor) -> Tensor:
        """θ is taken over as it is."""
        return weight


class UPR(Pruner):
    """Learned masks; `penalty`: every score falls by this times the learning rate at every step."""

    def __init__(
        self,
        model: nn.Module,
        *,
        optimizer: Optimizer,
        target_sparsity: float = 0.95,
        penalty: float = 1.0,
        freeze: float = 0.75,
        **common: Unpack[Common],
    ) -> None:
        target_sparsity = share(target_sparsity, "target_sparsity")
        if not 0.0 < number(freeze, "freeze") <= 1.0:
            raise InputError(f"found {freeze}", where="freeze", allowed="more than 0 and at most 1")
        super().__init__(model, optimizer=optimizer, **common)
        self.target, self.penalty = target_sparsity, penalty
        self.freeze_step = max(round(freeze * self.total_steps), 1)
        scores = [parameter for spine in self._spines() for parameter in (spine.scores, spine.units)]
        self.trainer = optimizer
        optimizer.add_param_group({"params": scores, "weight_decay": 0.0})

    def make_spine(self, weight: Tensor) -> SpineSize:
        """A spine with a learned mask."""
        return _LearnedMask(weight)

    @torch.no_grad()
    def advance(self) -> None:
        """Pull the scores down and sharpen the masks; fix them when it is time."""
        if self.steps < self.freeze_step:
            pull = self.penalty * float(self.trainer.param_groups[-1]["lr"])
            sharpness = START * (LAST / START) ** (self.steps / self.freeze_step)
            for spine in self._spines():
                spine.scores.sub_(pull)
                spine.units.sub_(pull)
                spine.sharpness.fill_(sharpness)
        elif self.steps == self.freeze_step:
            self.freeze_now()

    @torch.no_grad()
    def freeze_now(self) -> None:
        """Hard masks at exactly the target: the smallest |w| go, which are those the soft masks closed."""
        self.freeze(smallest([weight.weight().abs() for weight in self.weights], round(self.target * self.total)))

    def finalize(self) -> nn.Module:
        """Plain modules, exact zeros, also before the freeze."""
        if self.weights and not self.frozen:
            self.freeze_now()
        return super().finalize()

    def _spines(self) -> list[_LearnedMask]:
        return [spine for weight in self.weights if isinstance(spine := weight.spine, _LearnedMask)]
