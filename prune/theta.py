"""Spine size to weight: w = sign(θ)·relu(|θ| − d), with the identity as its gradient (STDS, Chen et al., ICML 2022, eq. 4–6).

A spine with |θ| ≤ d is a filopodium: its weight is exactly zero, yet its θ keeps receiving the gradient of the weight, so
it can grow back. The gradient is the identity everywhere, also at θ = 0, where d(sign θ · …)/dθ would leave a dead point.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def spine_weight(theta: Tensor, threshold: Tensor) -> Tensor:
    """The weight of a spine of size `theta`, any shape; `threshold` ≥ 0 broadcasts to it. ∂w/∂θ = 1 everywhere."""
    # θ − clamp(θ, −d, d) equals sign(θ)·relu(|θ| − d); inside the threshold it is θ − θ, an exact +0. With the clamp taken as
    # a constant the gradient is the identity, and a difference keeps nothing for the backward pass.
    return theta - torch.clamp(theta.detach(), -threshold, threshold)


def spine_size(weight: Tensor, threshold: Tensor) -> Tensor:
    """The inverse map θ = sign(w)·(|w| + d). A zero weight becomes θ = 0, the middle of the filopodia."""
    return weight + torch.sign(weight) * threshold


class SpineSize(nn.Module):
    """The parametrization of one weight: a threshold while the spines grow, a mask once they are frozen.

    Buffers: `threshold`, a 0-d tensor (or one that broadcasts to the weight), and `mask`, bool of the weight's shape, which
    exists only after `freeze`. Both travel in the model's state_dict, so a loaded model evaluates as the saved one.
    """

    threshold: Tensor
    mask: Tensor | None

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("threshold", torch.zeros((), dtype=weight.dtype, device=weight.device))
        self.register_buffer("mask", None)

    @property
    def frozen(self) -> bool:
        """Whether the mask decides, so that no spine can grow back."""
        return self.mask is not None

    def forward(self, theta: Tensor) -> Tensor:
        """θ to w, same shape and dtype."""
        if self.mask is not None:
            return torch.where(self.mask, theta, 0.0)
        return self.grow(theta)

    def grow(self, theta: Tensor) -> Tensor:
        """The map while the spines are free to come and go; the rivals of STDS replace it."""
        return spine_weight(theta, self.threshold)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """w to θ, used by `layer.weight = …` and by the inverse-map initialisation."""
        return weight if self.mask is not None else spine_size(weight, self.threshold)

    @torch.no_grad()
    def freeze(self, theta: Tensor, mask: Tensor) -> None:
        """From now on w = θ where `mask`, else 0; θ becomes the present weight, in place. No gradient passes the mask."""
        weight = self(theta)
        theta.copy_(torch.where(mask, weight, 0.0))
        self.threshold.zero_()
        self.mask = mask.clone()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # A mask exists in the file or it doesn't; loading takes over which.
        mask = state_dict.get(prefix + "mask")
        self.mask = None if mask is None else torch.empty_like(mask, device=self.threshold.device)
        if (threshold := state_dict.get(prefix + "threshold")) is not None and threshold.shape != self.threshold.shape:
            self.threshold = torch.empty_like(threshold, device=self.threshold.device)
        super()._load_from_state_dict(state_dict, prefix, *args)
