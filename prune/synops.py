"""What a weight costs on a chip: synapses it stands for, and synaptic operations (synops) it takes part in.

A convolution's weight is stored once but is a synapse at every position it is applied to (`expansion`), and it costs one
synop for every spike that meets it. Both are derivatives of the layer itself, so any Linear or Conv (stride, padding,
groups, dilation) is counted exactly: the sum of a layer's output is linear in its weights and in its input.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Self

import torch
from spikingjelly.activation_based import neuron
from torch import Tensor, nn

from filopodia.errors import UnsupportedError
from filopodia.prune.attach import WEIGHTED

POOLS = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)


def apply(module: nn.Module, x: Tensor, weight: Tensor) -> Tensor:
    """`module` on x [N, …] with another weight and no bias."""
    if isinstance(module, nn.Linear):
        return nn.functional.linear(x, weight)
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        convolved: Tensor = module._conv_forward(x, weight, None)
        return convolved
    raise UnsupportedError(f"no synapses to count in a {type(module).__name__}", allowed="Linear, Conv1d, Conv2d, Conv3d")


def uses(module: nn.Module, counts: Tensor) -> Tensor:
    """How often each weight is used when the layer's input carries `counts` spikes [*input shape]; the weight's shape."""
    weight = torch.zeros_like(_theta(module), requires_grad=True)
    with torch.enable_grad():
        total = apply(module, counts.unsqueeze(0).to(weight.dtype), weight).sum()
    (found,) = torch.autograd.grad(total, weight)
    return found


def expansion(module: nn.Module, shape: tuple[int, ...]) -> Tensor:
    """Synapses each weight stands for when the layer's input has `shape` (no time, no samples); the weight's shape."""
    return uses(module, torch.ones(shape, device=_theta(module).device))


def fan_out(module: nn.Module, alive: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Synapses each input element feeds, over the weights in `alive` (bool, the weight's shape); [*shape]."""
    x = torch.zeros(1, *shape, device=alive.device, requires_grad=True)
    with torch.enable_grad():
        total = apply(module, x, alive.to(x.dtype)).sum()
    (found,) = torch.autograd.grad(total, x)
    return found[0]


def input_shape(module: nn.Module, x: Tensor) -> torch.Size:
    """The shape of one sample at one step in a layer's input [T, N, …]."""
    return x.shape[x.dim() - (1 if isinstance(module, nn.Linear) else _theta(module).dim() - 1) :]


class SynopMeter:
    """Counts, by forward hooks, the spikes that reach every weighted layer of `net` (fed [T, N, …]); used as a context.

    Average pooling merges spikes into graded values; they are counted as the spikes they came from, which is how a chip
    without graded spikes runs the layer. `analog` names the layers whose input is values instead (the first layer under
    direct encoding): their operations are multiplications (MACs), and every value that is not zero counts once.
    `training` counts only the forward passes in training mode, or only those in eval mode.
    """

    def __init__(self, net: nn.Module, *, training: bool | None = None) -> None:
        self.net, self.training = net, training
        self.layers: dict[str, nn.Module] = {name: m for name, m in net.named_modules() if isinstance(m, WEIGHTED)}
        self.sums: dict[str, Tensor] = {}
        self.samples = 0
        self.analog: set[str] = set()
        self._pooled, self._fired, self._counting = 1.0, False, True

    def __enter__(self) -> Self:
        self._handles = [self.net.register_forward_pre_hook(self._begin)]
        # Bound methods, not closures, so that a network with a meter on it can be copied and pickled.
        self._handles += [module.register_forward_pre_hook(partial(self._arrive, name)) for name, module in self.layers.items()]
        for module in self.net.modules():
            if isinstance(module, neuron.BaseNode):
                self._handles.append(module.register_forward_hook(self._fire))
            elif isinstance(module, POOLS):
                self._handles.append(module.register_forward_hook(self._pool))
        return self

    def __exit__(self, *exc: object) -> None:
        for handle in self._handles:
            handle.remove()

    def counts(self) -> dict[str, Tensor]:
        """Spikes per sample, summed over the steps, that arrived at each layer, [*input shape]."""
        return {name: total / self.samples for name, total in self.sums.items()}

    def _begin(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._pooled, self._fired = 1.0, False
        self._counting = self.training is None or self.training == module.training
        if self._counting:
            self.samples += inputs[0].shape[1]

    def _fire(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        self._pooled, self._fired = 1.0, True

    def _pool(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        dims = POOLS.index(next(kind for kind in POOLS if isinstance(module, kind))) + 1
        side = module.kernel_size
        self._pooled *= float(side**dims if isinstance(side, int) else math.prod(side))  # type: ignore[arg-type]

    def _arrive(self, name: str, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if not self._counting:
            return
        x = inputs[0].detach()
        shape = input_shape(module, x)
        if not self._fired and not bool(((x == 0) | (x == 1)).all()):
            self.analog.add(name)
            x = (x != 0).to(torch.float32)
        total = x.reshape(-1, *shape).sum(0, dtype=torch.float32) * self._pooled
        self.sums[name] = self.sums[name] + total if name in self.sums else total


class SynopPenalty(SynopMeter):
    """Counts the synops of the forward pass with their gradient, so that a loss can hold them down where they arise.

    A neuron's spike weighs as many synapses as live behind it, now; the layer that is fed with data has no gradient and is
    counted, not held down.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__(net)
        self._spent, self._fed, self._most = list[Tensor](), 0.0, 0.0

    def share(self) -> Tensor:
        """The synops over those of a dense network whose neurons fire in every step; in [0, 1], with gradient.

        0 where no weighted layer reads spikes of another.
        """
        return sum(self._spent, torch.zeros(())) / max(self._most, 1.0)

    def spent(self) -> float:
        """The synops of the last forward pass, summed over its samples; those of the layer fed with data included."""
        return float(sum(part.detach() for part in self._spent)) + self._fed

    def _begin(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        super()._begin(module, inputs)
        self._spent, self._fed, self._most = [], 0.0, 0.0

    def _arrive(self, name: str, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0]
        shape = input_shape(module, x)
        alive = _theta(module) != 0
        spikes = x.reshape(-1, *shape)
        if not x.requires_grad:
            used = (spikes != 0).sum(0, dtype=torch.float32) * fan_out(module, alive, tuple(shape))
            self._fed += float(used.sum()) * self._pooled
            return
        self._spent.append((spikes.sum(0) * fan_out(module, alive, tuple(shape))).sum() * self._pooled)
        every = fan_out(module, torch.ones_like(alive), tuple(shape))
        self._most += float(every.sum()) * len(spikes) * self._pooled


@dataclass(frozen=True)
class LayerCost:
    """One layer per sample: weights and synapses (spatially expanded), how many are not zero, and the operations done."""

    weights: int
    nonzero_weights: int
    synapses: int
    nonzero_synapses: int
    synops: float
    dense_synops: float
    analog: bool


@torch.no_grad()
def layer_costs(meter: SynopMeter) -> dict[str, LayerCost]:
    """The cost of every layer that `meter` saw, from its spikes and its present weights."""
    costs = {}
    for name, spikes in meter.counts().items():
        module = meter.layers[name]
        weight = module.weight
        assert isinstance(weight, Tensor)
        alive = weight.detach() != 0
        synapses, used = expansion(module, tuple(spikes.shape)), uses(module, spikes)
        costs[name] = LayerCost(
            weights=alive.numel(),
            nonzero_weights=int(alive.sum()),
            synapses=round(float(synapses.sum(dtype=torch.float64))),
            nonzero_synapses=round(float(synapses[alive].sum(dtype=torch.float64))),
            synops=float(used[alive].sum(dtype=torch.float64)),
            dense_synops=float(used.sum(dtype=torch.float64)),
            analog=name in meter.analog,
        )
    return costs


def _theta(module: nn.Module) -> Tensor:
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight.detach()
