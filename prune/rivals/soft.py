"""Soft threshold: STDS without regrowth, the paper's ablation "ST"."""

from __future__ import annotations

import torch
from torch import Tensor

from filopodia.prune.stds import STDS
from filopodia.prune.theta import SpineSize


class _TrueGradient(SpineSize):
    def grow(self, theta: Tensor) -> Tensor:
        """The same map with its true gradient: 0 for |θ| < d."""
        return theta - torch.clamp(theta, -self.threshold, self.threshold)


class SoftThreshold(STDS):
    """STDS's forward map and controls with the true gradient, so that a filopodium never grows back by learning."""

    def make_spine(self, weight: Tensor) -> SpineSize:
        """The spine with the true gradient."""
        return _TrueGradient(weight)
