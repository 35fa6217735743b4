"""Direct encoding feeds the same values in every step: work that no neuron has touched yet is done once and repeated."""

from __future__ import annotations

from spikingjelly.activation_based import neuron
from torch import Tensor, nn

from filopodia.prune.attach import WEIGHTED


class RepeatedInput:
    """While open, the first weighted layer of `net` (and its BatchNorm) computes one step and the first neurons see it T times.

    For networks that begin layer, BatchNorm, neurons, fed [T, N, …] with all T steps equal, as in the STDS authors' own code.
    The loss and its gradient are those of the T-fold computation; only BatchNorm's running variance counts a batch of N
    instead of T·N values, which moves its correction N/(N − 1).
    """

    def __init__(self, net: nn.Module) -> None:
        self._weighted = next(module for module in net.modules() if isinstance(module, WEIGHTED))
        self._neurons = next(module for module in net.modules() if isinstance(module, neuron.BaseNode))
        self._steps = 0

    def __enter__(self) -> RepeatedInput:
        # Registered after any meter's hooks, which therefore still see all T steps arrive.
        self._handles = [
            self._weighted.register_forward_pre_hook(self._first),
            self._neurons.register_forward_pre_hook(self._repeat),
        ]
        return self

    def __exit__(self, *exc: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _first(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        self._steps = inputs[0].shape[0]
        return inputs[0][:1]

    def _repeat(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        return inputs[0].expand(self._steps, *inputs[0].shape[1:])
