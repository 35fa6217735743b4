"""Pruning by magnitude, gradually or at once, and at random, the floor under everything."""

from __future__ import annotations

from torch import Tensor

from filopodia.prune.rivals.masked import Masked, erdos_renyi, random_masks
from filopodia.prune.schedule import SHAPES


class GradualMagnitude(Masked):
    """Drop the smallest weights over all layers, sparsity growing by the cubic law (Zhu & Gupta 2017)."""

    def change(self, progress: float) -> list[Tensor]:
        """The smallest weights go, more and more of them."""
        return self.by_magnitude(self.target * SHAPES["cubic"](progress))


class OneShotMagnitude(Masked):
    """Train dense until `end`, drop the smallest weights over all layers at once, fine-tune the rest."""

    def change(self, progress: float) -> list[Tensor]:
        """Nothing before the end."""
        return self.by_magnitude(self.target) if progress >= 1.0 else self.masks()


class RandomMask(Masked):
    """Train what a random mask, drawn before the first step, leaves."""

    def initial(self) -> list[Tensor]:
        """A random mask with Erdős–Rényi densities."""
        shapes = [weight.theta.shape for weight in self.weights]
        return random_masks(shapes, erdos_renyi(shapes, self.target), self.weights[0].theta.device)

    def change(self, progress: float) -> list[Tensor]:
        """It stays."""
        return self.masks()
