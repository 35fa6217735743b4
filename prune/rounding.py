"""Numbers of few bits: weights and layers' inputs on even steps, with a gradient that passes as if nothing was rounded."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from filopodia.errors import InputError
from filopodia.prune.attach import WEIGHTED
from filopodia.prune.fixed_point import straight_through

CLIPS = 20  # tops tried, evenly spaced up to the largest value


class RoundedWeight(nn.Module):
    """A weight [out, …] on 2^bits - 1 even steps around 0, a step for each output; of one bit, plus or minus its mean size.

    The step is the smaller of two: that which reaches the largest weight, and LSQ's start 2·mean|w|/√levels (Esser et al.,
    ICLR 2020), which clips where the levels are few. A scale for each output costs nothing: the BatchNorm, or the
    conversion of the sum, multiplies each output anyway. Zeros stay zeros.
    """

    def __init__(self, bits: int) -> None:
        super().__init__()
        if bits < 1:
            raise InputError(f"found {bits}", where="bits", allowed="1 or more")
        self.bits = bits

    def forward(self, weight: Tensor) -> Tensor:
        with torch.no_grad():
            flat = weight.flatten(1).abs()
            size = flat.sum(1) / (flat > 0).sum(1).clamp(min=1)
            levels = 2 ** (self.bits - 1) - 1
            if levels:
                step = torch.minimum(flat.amax(1) / levels, 2 * size / levels**0.5).clamp(min=torch.finfo(flat.dtype).tiny)
                step = step.view(-1, *[1] * (weight.dim() - 1))
                rounded = (weight / step).round().clamp(-levels, levels) * step
            else:
                rounded = size.view(-1, *[1] * (weight.dim() - 1)) * torch.where(weight < 0, -1.0, 1.0)
        return straight_through(weight, rounded)


class RoundedInput(nn.Module):
    """Values >= 0 on 2^bits even levels from 0 to `top`, which is learned (PACT; Choi et al., arXiv:1805.06085).

    `top` is set by the first values seen: that of CLIPS candidates which rounds them with the least squared error.
    """

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.levels = 2**bits - 1
        self.top = nn.Parameter(torch.tensor(0.0))

    def forward(self, values: Tensor) -> Tensor:
        if not self.top:
            self.top.data.fill_(self._best(values.detach()))
        held = torch.minimum(values, self.top)
        step = self.top.detach() / self.levels
        return straight_through(held, (held / step).round() * step)

    def _best(self, values: Tensor) -> float:
        most = float(values.max()) or 1.0
        tops = [most * (index + 1) / CLIPS for index in range(CLIPS)]

        def error(top: float) -> float:
            step = top / self.levels
            return float(((values.clamp(max=top) / step).round() * step - values).square().mean())

        return min(tops, key=error)


def round_to(net: nn.Module, bits: int, seen: Tensor) -> nn.Module:
    """`net` itself, its Linear and Conv layers made to work with `bits`-bit weights and inputs (>= 0, as behind a ReLU).

    `seen` is what `net` is run on once, in eval mode, to set the inputs' ranges. Biases, BatchNorm and the sums stay as they
    are: accumulators are wide. Training it on fits weights and ranges to the bits.
    """
    for module in [module for module in net.modules() if isinstance(module, WEIGHTED)]:
        parametrize.register_parametrization(module, "weight", RoundedWeight(bits))
        module.rounded_input = RoundedInput(bits)
        module.register_forward_pre_hook(_round_input)
    with torch.no_grad():
        net.eval()(seen)
    return net


def _round_input(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    rounding = module.rounded_input
    assert isinstance(rounding, RoundedInput)
    return (rounding(inputs[0]), *inputs[1:])
