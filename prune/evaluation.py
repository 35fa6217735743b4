"""Reading a network's output and its spikes: accuracy, firing rates, and the firing that a loss can hold down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from spikingjelly.activation_based import functional, neuron
from torch import Tensor, nn

from filopodia.prune.config import DataConfig
from filopodia.prune.data import Samples
from filopodia.prune.encoding import encode
from filopodia.prune.synops import LayerCost, SynopMeter, layer_costs

CHUNK = 500  # samples per forward pass


def readout(spikes: Tensor, classes: int) -> Tensor:
    """Output spikes [T, N, classes·votes] to the firing rate of each class [N, classes]; neighbours vote for one class."""
    samples = spikes.shape[1]
    return spikes.mean(0).view(samples, classes, -1).mean(2)


class FiringMeter:
    """Listens to every spiking layer of `net` (forward hooks; used as a context so that they come off again)."""

    def __init__(self, net: nn.Module) -> None:
        self.spikes: dict[str, Tensor] = {}
        self._layers = [(name, module) for name, module in net.named_modules() if isinstance(module, neuron.BaseNode)]

    def __enter__(self) -> FiringMeter:
        self._handles = [module.register_forward_hook(self._listen(name)) for name, module in self._layers]
        return self

    def __exit__(self, *exc: object) -> None:
        for handle in self._handles:
            handle.remove()
        self.spikes = {}

    def _listen(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            self.spikes[name] = output

        return hook

    def hidden(self) -> Tensor:
        """The mean firing rate of all neurons but the output's, with gradient; 0 where there are none."""
        hidden = [self.spikes[name] for name, _ in self._layers[:-1] if name in self.spikes]
        fired = sum((spikes.sum() for spikes in hidden), torch.zeros(()))
        return fired / max(1, sum(spikes.numel() for spikes in hidden))


@dataclass(frozen=True)
class Evaluation:
    """Over all samples: accuracy; of each spiking layer the spikes per neuron and step, its neurons, and those of them that
    never fired; what every weighted layer costs per sample."""

    accuracy: float
    firing_rates: dict[str, float]
    neurons: dict[str, int]
    dead_neurons: dict[str, int]
    costs: dict[str, LayerCost]


@torch.no_grad()
def evaluate(net: nn.Module, samples: Samples, data: DataConfig, classes: int) -> Evaluation:
    """Run all samples through `net` in eval mode (left so), read its output and count its spikes. Always in float32."""
    net.eval()
    device = next(net.parameters()).device
    right, rates, fired = 0, dict[str, float](), dict[str, Tensor]()
    with FiringMeter(net) as firing, SynopMeter(net) as synops:
        for images, labels in zip(samples.images.split(CHUNK), samples.labels.split(CHUNK), strict=True):
            out = readout(net(encode(images.to(device), data.steps, data.encoding).float()), classes)
            functional.reset_net(net)
            right += int((out.argmax(1).cpu() == labels).sum())
            for name, spikes in firing.spikes.items():
                rates[name] = rates.get(name, 0.0) + float(spikes.mean()) * len(labels) / len(samples)
                some = spikes.flatten(0, 1).any(0)
                fired[name] = fired[name] | some if name in fired else some
        costs = layer_costs(synops)
    neurons = {name: some.numel() for name, some in fired.items()}
    return Evaluation(right / len(samples), rates, neurons, {name: int((~some).sum()) for name, some in fired.items()}, costs)
