"""What a run tells after every epoch: the census of its spines, its sparsity in three senses, its spikes and operations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from filopodia.errors import ConfigError
from filopodia.prune.evaluation import Evaluation
from filopodia.prune.pruner import PrunedWeight


@dataclass(frozen=True)
class SpineCount:
    """One layer's spines: filopodia (weight zero), mature ones, and how many changed since the epoch before."""

    filopodia: int
    mature: int
    grown: int
    retracted: int

    @property
    def turnover(self) -> float:
        """Spines that changed state over all spines."""
        return (self.grown + self.retracted) / (self.filopodia + self.mature)


class Census:
    """Counts spines, comparing with its last count. A fresh one compares with the weights it is made from."""

    def __init__(self, weights: Sequence[PrunedWeight]) -> None:
        self.weights = weights
        self._mature: list[Tensor] = [weight.weight() != 0 for weight in weights]

    @torch.no_grad()
    def take(self) -> dict[str, SpineCount]:
        """The count of every pruned layer now."""
        counts = {}
        for index, weight in enumerate(self.weights):
            before, now = self._mature[index], weight.weight() != 0
            mature = int(now.sum())
            grown, retracted = int((now & ~before).sum()), int((before & ~now).sum())
            counts[weight.name] = SpineCount(now.numel() - mature, mature, grown, retracted)
            self._mature[index] = now
        return counts


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training samples came to.

    `sparsity`: zero weights over all pruned weights; `synapse_sparsity`: the same of the spatially expanded synapses of all
    weighted layers; `threshold`: d (its largest, if layers differ); `strength`: λ = d/Σlr; `firing_rates`: spikes per neuron
    and step of each spiking layer, `dead_neurons` those that never fired, `synops` per sample (multiplications of a layer fed
    with values included) and `dense_synops` as if no weight were zero: over the test samples. `seconds`: of this epoch.
    """

    epoch: int
    epochs: int
    loss: float
    train_accuracy: float
    test_accuracy: float
    sparsity: float
    synapse_sparsity: float
    threshold: float
    strength: float
    frozen: bool
    firing_rates: dict[str, float]
    dead_neurons: dict[str, int]
    synops: float
    dense_synops: float
    spines: dict[str, SpineCount]
    seconds: float


def synapse_sparsity(tested: Evaluation) -> float:
    """Zero synapses over all synapses of the weighted layers."""
    synapses = sum(cost.synapses for cost in tested.costs.values())
    return 1.0 - sum(cost.nonzero_synapses for cost in tested.costs.values()) / synapses


def weight_sparsity(tested: Evaluation) -> float:
    """Zero weights over all weights of the weighted layers."""
    weights = sum(cost.weights for cost in tested.costs.values())
    return 1.0 - sum(cost.nonzero_weights for cost in tested.costs.values()) / weights


def totals(tested: Evaluation) -> dict[str, float]:
    """What the header of weights.safetensors says of the finished network, under the names that telemetry.jsonl uses."""
    return {
        "test_accuracy": tested.accuracy,
        "ConnectionSparsity": weight_sparsity(tested),
        "synapse_sparsity": synapse_sparsity(tested),
        "synops": sum(cost.synops for cost in tested.costs.values()),
    }


def record(event: Epoch, tested: Evaluation, net: nn.Module, steps: int) -> dict[str, Any]:
    """One line of telemetry.jsonl: the epoch, a block per layer, and NeuroBench's metrics under NeuroBench's names.

    `steps`: T, for NeuroBench's `Dense`, which counts every synapse in every step.
    """
    costs = tested.costs
    spikes = sum(rate * tested.neurons[name] for name, rate in tested.firing_rates.items())
    layers = {
        name: {
            **asdict(cost),
            "sparsity": 1.0 - cost.nonzero_weights / cost.weights,
            "synapse_sparsity": 1.0 - cost.nonzero_synapses / cost.synapses,
            **({"turnover": event.spines[name].turnover} if name in event.spines else {}),
        }
        for name, cost in costs.items()
    }
    return {
        **asdict(event),
        "layers": layers,
        "Footprint": sum(t.numel() * t.element_size() for t in net.state_dict().values()),
        "ConnectionSparsity": weight_sparsity(tested),
        "ActivationSparsity": 1.0 - spikes / sum(tested.neurons.values()),
        "SynapticOperations": {
            "Effective_MACs": sum(cost.synops for cost in costs.values() if cost.analog),
            "Effective_ACs": sum(cost.synops for cost in costs.values() if not cost.analog),
            "Dense": sum(cost.synapses for cost in costs.values()) * steps,
        },
    }


def to_tensorboard(told: Mapping[str, Any], folder: Path) -> None:
    """Append one `record` to TensorBoard's event files in `folder`; nested names are joined by a slash."""
    try:
        writer = import_module("torch.utils.tensorboard").SummaryWriter(folder / "tensorboard")
    except ImportError as error:
        raise ConfigError(
            "TensorBoard is not installed", where="tensorboard", fix="pip install 'filopodia[tensorboard]'"
        ) from error
    with writer:
        for name, value in _flat(told):
            writer.add_scalar(name, value, told["epoch"])


def _flat(told: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in told.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", float(value)
