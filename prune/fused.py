"""The neurons' forward and backward pass in few sweeps over memory, for training on a CPU, where those sweeps are the cost."""

from __future__ import annotations

import math
from typing import Any

import torch
from spikingjelly.activation_based import neuron, surrogate
from torch import Tensor, nn


class LeakyFire(torch.autograd.Function):
    """SpikingJelly's LIFNode over T steps: h = v + (x − v)/τ, s = [h ≥ θ], v = h·(1 − s), no gradient through the reset.

    Inputs: x [T, N, …], the potential before the first step (x's shape without T), τ, θ. Outputs: the spikes, x's shape and
    dtype, and the potential after the last step. The surrogate gradient is ATan's: ∂s/∂h = α/2 / (1 + (π/2·α·(h − θ))²).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, v: Tensor, tau: float, threshold: float, alpha: float) -> tuple[Tensor, Tensor]:
        """Spikes and the last potential."""
        potentials, spikes = torch.empty_like(x), torch.empty_like(x)
        for now, h, s in zip(x, potentials, spikes, strict=True):
            torch.sub(now, v, out=h).div_(tau).add_(v)
            torch.ge(h, threshold, out=s)
            v = torch.addcmul(h, h, s, value=-1.0)
        ctx.save_for_backward(potentials, spikes)
        ctx.constants = tau, threshold, alpha
        return spikes, v

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        """The gradients of x and of the first potential."""
        potentials, spikes = ctx.saved_tensors
        tau, threshold, alpha = ctx.constants
        from_spikes, carried = gradients
        to_x = torch.empty_like(potentials)
        for t in range(len(potentials) - 1, -1, -1):
            steep = (potentials[t] - threshold).mul_(math.pi / 2 * alpha).square_().add_(1.0).reciprocal_().mul_(alpha / 2)
            at_h = steep.mul_(from_spikes[t]).add_(carried).addcmul_(carried, spikes[t], value=-1.0)
            torch.div(at_h, tau, out=to_x[t])
            carried = at_h.sub_(to_x[t])  # ∂h/∂v = 1 − 1/τ
        return to_x, carried, None, None, None


class FusedNeurons:
    """While open, the LIF neurons of `net` that LeakyFire describes and that run on a CPU go through it; others as ever."""

    def __init__(self, net: nn.Module) -> None:
        self._nodes = [module for module in net.modules() if type(module) is neuron.LIFNode and _fits(module)]

    def __enter__(self) -> FusedNeurons:
        for node in self._nodes:
            node.multi_step_forward = _Forward(node)  # type: ignore[assignment]  # shadows the method
        return self

    def __exit__(self, *exc: object) -> None:
        for node in self._nodes:
            del node.multi_step_forward


class _Forward:
    def __init__(self, node: neuron.LIFNode) -> None:
        self.node = node

    def __call__(self, x: Tensor) -> Tensor:
        node = self.node
        if x.device.type != "cpu":
            spikes: Tensor = type(node).multi_step_forward(node, x)
            return spikes
        before = node.v if isinstance(node.v, Tensor) else torch.full_like(x[0], node.v)
        spikes, node.v = LeakyFire.apply(x, before, node.tau, node.v_threshold, node.surrogate_function.alpha)  # type: ignore[no-untyped-call]
        return spikes


def _fits(node: neuron.LIFNode) -> bool:
    plain = node.decay_input and node.detach_reset and node.v_reset == 0.0 and not node.store_v_seq
    return bool(plain and node.step_mode == "m" and type(node.surrogate_function) is surrogate.ATan)
