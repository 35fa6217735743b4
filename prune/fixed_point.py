"""Fixed-point arithmetic as integer chips do it, in torch: exact forwards, and gradients as if nothing were rounded.

One step of a neuron layer, where `scale` units are 1 of the network's own voltage:

    x  <-  the input in whole units
    v  <-  v * (4096 - decay) / 4096, cut towards zero at 1/64 unit,  + x,   held within +-(2^23 - 1) / 64 units
    it fires when v > threshold; then v becomes 0, or loses the threshold

`scale` is a power of two, so that floats hold all of these numbers exactly and a trained network is nothing but its integers
times a constant. The defaults of `FixedPoint` are what Loihi-class chips have (docs/semantics.md has the table).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from spikingjelly.activation_based import neuron
from torch import Tensor, nn

FRACTION = 64
"""Parts of a unit that a voltage is held in."""

DECAY = 4096
"""Parts of a voltage that a leak is told in."""

VOLTAGE_LIMIT = 2**23 - 1
"""Largest voltage, in parts of a unit."""


@dataclass(frozen=True)
class FixedPoint:
    """The ranges of the integers a network is trained for.

    Weights are multiples of `weight_step` within +-`weight_limit` units, that is of `bits` bits with a sign whose lowest bit
    is lost; biases and thresholds are whole units within +-`bias_limit` and up to `threshold_limit`. No input can add up to
    more than `sum_limit` units in a step when training starts.
    """

    bits: int = 8
    bias_limit: int = 2**12 - 1
    threshold_limit: int = 2**17 - 1
    sum_limit: int = 2**15 - 1

    @property
    def weight_step(self) -> int:
        """2 for 8 bits, 4 for 7 …"""
        return 1 << (9 - self.bits)

    @property
    def weight_limit(self) -> int:
        """254 for 8 bits, 252 for 7 …"""
        return 256 - self.weight_step


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, instead: Tensor) -> Tensor:
        return instead.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def straight_through(value: Tensor, instead: Tensor) -> Tensor:
    """`instead`, to the last bit, with the gradient of `value` (straight-through; Bengio et al., arXiv:1308.3432)."""
    result: Tensor = _StraightThrough.apply(value, instead)  # type: ignore[no-untyped-call]
    return result


def decayed(v: Tensor, decay: Tensor) -> Tensor:
    """Whole numbers |v| < 2^24 times (4096 - decay) / 4096, cut towards zero: exact in float32, though the product is not."""
    factor = DECAY - decay.to(v.dtype)
    high = torch.trunc(v / DECAY)
    return high * factor + torch.trunc((v - high * DECAY) * factor / DECAY)


class IntegerGrid(nn.Module):
    """The parametrization of a weight or bias: whole multiples of `step` units, at most `limit`, zero where `mask` is False.

    Buffers: `unit`, the units that 1 of the parameter stands for (0-d), and `mask`, bool of the parameter's shape. The
    gradient passes as if nothing were rounded, but not to what the mask holds at zero.
    """

    unit: Tensor
    mask: Tensor

    def __init__(self, values: Tensor, unit: float, step: int, limit: int) -> None:
        super().__init__()
        self.step, self.limit = step, limit
        self.register_buffer("unit", torch.tensor(unit, dtype=torch.float32, device=values.device))
        self.register_buffer("mask", torch.ones_like(values, dtype=torch.bool))

    def forward(self, values: Tensor) -> Tensor:
        """The parameter on its grid, same shape and dtype."""
        kept = torch.where(self.mask, values, 0.0)
        return straight_through(kept, on_grid(kept.detach(), self.unit, self.step, self.limit) / self.unit)


def on_grid(values: Tensor, unit: float | Tensor, step: int, limit: int) -> Tensor:
    """`values` in units: the nearest multiples of `step` within +-`limit`, whole numbers as floats."""
    most = limit // step
    return torch.round(values * (unit / step)).clamp(-most, most) * step


class FixedPointNode(neuron.BaseNode):  # type: ignore[misc]
    """A (leaky) integrate-and-fire neuron whose forward is the fixed-point arithmetic at the head of this file.

    Buffers: `scale`, units per 1, a power of two; `v_threshold`, a whole number of units; `decay`, 4096ths of v that leak per
    step. With `decay_input` the input counts decay / 4096, as in SpikingJelly's LIFNode, else whole. `v_reset` is 0 or None
    (the threshold is subtracted).
    """

    scale: Tensor
    decay: Tensor

    def __init__(
        self,
        *,
        scale: float,
        threshold: int,
        decay: int = 0,
        decay_input: bool = True,
        v_reset: float | None = 0.0,
        surrogate_function: Any = None,
        detach_reset: bool = True,
        step_mode: str = "s",
    ) -> None:
        surrogate = {} if surrogate_function is None else {"surrogate_function": surrogate_function}
        super().__init__(v_reset=v_reset, detach_reset=detach_reset, step_mode=step_mode, **surrogate)
        del self.v_threshold  # a number in SpikingJelly's nodes, a buffer here: it is part of what a file of weights holds
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))
        self.register_buffer("v_threshold", torch.tensor(threshold / scale, dtype=torch.float32))
        self.register_buffer("decay", torch.tensor(decay))
        self.leaks, self.decay_input = decay > 0, decay_input

    @property
    def tau(self) -> float:
        """The membrane's time constant in steps; infinite without a leak."""
        return DECAY / int(self.decay) if self.leaks else float("inf")

    @property
    def gain(self) -> float:
        """What 1 of the input adds to v."""
        return int(self.decay) / DECAY if self.leaks and self.decay_input else 1.0

    def materialize_states(self, inputs: tuple[Tensor, ...], states: tuple[object, ...], step_mode: str) -> tuple[object, ...]:
        """Under autocast inputs come in half precision, which cannot hold v: v stays in float32."""
        x = inputs[0]
        full = (x.float() if x.element_size() < 4 else x, *inputs[1:])
        made: tuple[object, ...] = super().materialize_states(full, states, step_mode)
        return made

    def charge(self, x: Tensor, v: Tensor) -> Tensor:
        """v after one step's input, before firing."""
        x = x.to(v.dtype)
        if self.leaks and self.decay_input:
            x = x * (self.decay / DECAY)
        x = straight_through(x, torch.round(x.detach() * self.scale) / self.scale)
        unit = self.scale * FRACTION
        if self.leaks:
            kept = decayed(v.detach() * unit, self.decay) / unit
            v = straight_through(v * (1.0 - self.decay / DECAY), kept)
        limit = VOLTAGE_LIMIT / unit
        return torch.clamp(v + x, -limit, limit)

    def single_step_functional_forward(
        self, inputs: tuple[Tensor, ...], states: tuple[Any, ...], **kwargs: object
    ) -> tuple[tuple[Tensor, ...], tuple[object, ...]]:
        """One step: ((spikes,), (v,)) from ((x,), (v,)), all of one shape."""
        v = self.charge(inputs[0], states[0])
        # Half a part above the threshold: SpikingJelly's surrogates fire at 0 and above, the chip strictly above the threshold.
        over = (v - self.v_threshold) - 0.5 / (self.scale * FRACTION)
        spike: Tensor = self.surrogate_function(over)
        taken = spike.detach() if self.detach_reset else spike
        v = v - taken * self.v_threshold if self.v_reset is None else v * (1.0 - taken)
        return (spike,), (v,)

    def extra_repr(self) -> str:
        """What `print(model)` says of it."""
        return f"scale={float(self.scale):g}, threshold={float(self.v_threshold * self.scale):g}, decay={int(self.decay)}"
