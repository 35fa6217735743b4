# /// script
# requires-python = ">=3.10,<3.13"
# dependencies = ["neurobench==2.3.0", "snntorch", "torch==2.11.0", "numpy"]
# ///
"""Three spiking networks under NeuroBench, in its own environment: writes weights, spikes, potentials and its metrics.

Started by energy_neurobench.py (`uv run --script neurobench_worker.py OUT.npz`). Weights are even integers; each network runs
with a tenth of them kept and with all.
"""

import json
import sys

import numpy as np
import snntorch
import torch
from neurobench.benchmarks import Benchmark
from neurobench.metrics.static import ConnectionSparsity
from neurobench.metrics.workload import ActivationSparsity, MembraneUpdates, SynapticOperations
from neurobench.models import TorchModel
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

STEPS, SAMPLES = 6, 8


class Net(nn.Module):
    """Synapses and neurons by name; `edges` says which synapses read what. Neurons are stepped in the order of `neurons`."""

    def __init__(self, synapses, neurons, edges):
        super().__init__()
        self.synapses, self.neurons = nn.ModuleDict(synapses), nn.ModuleDict(neurons)
        self.edges = edges  # neuron name -> [(synapse name, source name)]
        self.record = {"spikes": {}, "v": {}}

    def forward(self, batch):
        for neuron in self.neurons.values():
            neuron.mem = neuron.init_leaky()
        for t in range(batch.shape[1]):
            out = {"input": batch[:, t]}
            for name, neuron in self.neurons.items():
                total = 0
                for synapse, source in self.edges[name]:
                    layer = self.synapses[synapse]
                    x = out[source].flatten(1) if isinstance(layer, nn.Linear) else out[source]
                    total = total + layer(x)
                out[name] = neuron(total)
                self.record["v"].setdefault(name, []).append(neuron.mem.detach().numpy().copy())
            for name, spikes in out.items():
                self.record["spikes"].setdefault(name, []).append(spikes.detach().numpy().copy())
        return out[name]


def neuron():
    return snntorch.Leaky(beta=0.9, threshold=12.0, init_hidden=True)


def nets():
    def conv(i, o, **kw):
        return nn.Conv2d(i, o, bias=False, **kw)

    def linear(i, o):
        return nn.Linear(i, o, bias=False)

    yield (
        "mlp",
        (200,),
        Net(
            {"a": linear(200, 150), "b": linear(150, 10)},
            {"h": neuron(), "o": neuron()},
            {"h": [("a", "input")], "o": [("b", "h")]},
        ),
    )
    yield (
        "csnn",
        (2, 12, 11),
        Net(
            {"a": conv(2, 8, kernel_size=3, padding=1), "b": conv(8, 12, kernel_size=3, stride=2), "c": linear(12 * 5 * 5, 10)},
            {"h": neuron(), "i": neuron(), "o": neuron()},
            {"h": [("a", "input")], "i": [("b", "h")], "o": [("c", "i")]},
        ),
    )
    yield (
        "residual",
        (3, 9, 9),
        Net(
            {
                "a": conv(3, 8, kernel_size=3, padding=1),
                "b": conv(8, 8, kernel_size=3, padding=1, groups=2),
                "c": conv(8, 8, kernel_size=3, padding=1),
                "skip": conv(8, 8, kernel_size=1),
                "d": linear(8 * 81, 10),
            },
            {"h": neuron(), "i": neuron(), "j": neuron(), "o": neuron()},
            {"h": [("a", "input")], "i": [("b", "h")], "j": [("c", "i"), ("skip", "h")], "o": [("d", "j")]},
        ),
    )


def main(path):
    torch.manual_seed(0)
    arrays, found = {}, {}
    for kept in (0.1, 1.0):
        for name, shape, net in nets():
            for layer in net.synapses.values():
                weight = 2 * torch.randint(1, 12, layer.weight.shape) * torch.where(torch.rand(layer.weight.shape) < 0.7, 1, -1)
                layer.weight.data = (weight * (torch.rand(layer.weight.shape) < kept)).float()
            data = (torch.rand(SAMPLES, STEPS, *shape) < 0.3).float()
            key = f"{name}_{'pruned' if kept < 1 else 'dense'}"
            metrics = [[ConnectionSparsity], [SynapticOperations, ActivationSparsity, MembraneUpdates]]
            loader = DataLoader(TensorDataset(data, torch.zeros(SAMPLES)), batch_size=SAMPLES)
            model = TorchModel(net)
            model.add_activation_module(snntorch.SpikingNeuron)
            with torch.no_grad():
                result = Benchmark(model, loader, [], [], metrics).run(quiet=True)
            found[key] = dict(result)
            edges = []
            for target, sources in net.edges.items():
                for synapse, source in sources:
                    layer = net.synapses[synapse]
                    options = {}
                    if isinstance(layer, nn.Conv2d):
                        options = {"stride": layer.stride, "padding": layer.padding, "groups": layer.groups}
                    edges.append({"synapse": synapse, "source": source, "target": target, **options})
                    arrays[f"{key}/weight/{synapse}"] = layer.weight.detach().numpy().astype(np.int16)
            found[key]["edges"] = edges
            for kind, values in net.record.items():
                for layer_name, steps in values.items():
                    arrays[f"{key}/{kind}/{layer_name}"] = np.stack(steps)
    with open(path, "wb") as file:
        np.savez_compressed(file, header=np.array(json.dumps(found)), **arrays)


if __name__ == "__main__":
    main(sys.argv[1])
