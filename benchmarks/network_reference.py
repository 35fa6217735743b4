"""Networks in floats against SpikingJelly on torch: every spike of two networks, and the time each takes.

    uv run python benchmarks/network_reference.py [--save]

Networks: the digits network's size (two convolutions, 8 x 8) and CIFAR10's (three of 64 to 256 channels, 32 x 32), random
weights, IF and LIF. Runs alternate A B A B, medians of five, one thread each. `simulator_floats.py` measures speed on pruned
networks. Spikes are compared in float32, where torch's order of adding up can tip a neuron that is within a rounding of its
threshold, and in float64, where nothing is that close.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import nir
import numpy as np
import torch
from spikingjelly.activation_based import functional, layer, neuron

from filopodia import hardware
from filopodia.hardware.network import simulate_network

DT = 1e-3
RUNS = 5


def conv(channels: int, out: int) -> Any:
    module = layer.Conv2d(channels, out, 3, padding=1)
    module.weight.data *= 3
    return module


def digits() -> tuple[list[Any], tuple[int, ...]]:
    head = layer.Linear(32 * 16, 10)
    head.weight.data *= 6
    return [
        conv(1, 16),
        neuron.LIFNode(2.0, v_threshold=0.5),
        layer.AvgPool2d(2),
        conv(16, 32),
        neuron.LIFNode(2.0, v_threshold=0.5),
        layer.Flatten(),
        head,
        neuron.LIFNode(2.0, v_threshold=0.3),
    ], (8, 64, 1, 8, 8)


def cifar() -> tuple[list[Any], tuple[int, ...]]:
    modules: list[Any] = []
    for channels, out in pairwise((3, 64, 128, 256)):
        modules += [conv(channels, out), neuron.IFNode(v_threshold=1.0), layer.AvgPool2d(2)]
    return [*modules, layer.Flatten(), layer.Linear(256 * 16, 100), neuron.IFNode(v_threshold=0.1)], (4, 8, 3, 32, 32)


def to_graph(modules: list[Any], x: torch.Tensor) -> tuple[nir.NIRGraph, dict[str, np.ndarray]]:
    """The modules as filopodia writes them to NIR, and what their neurons fire."""
    nodes: dict[str, Any] = {"input": nir.Input({"input": np.array(x.shape[2:])})}
    fired = {}
    for i, module in enumerate(modules):
        with torch.no_grad():
            x = module(x)
        shape = tuple(x.shape[2:])
        if isinstance(module, neuron.BaseNode):
            threshold = np.full(shape, np.nextafter(np.float32(module.v_threshold), np.float32(-np.inf)), np.float32)
            zero, one = np.zeros(shape, np.float32), np.ones(shape, np.float32)
            if isinstance(module, neuron.IFNode):
                nodes[f"n{i}"] = nir.IF(r=one / np.float32(DT), v_threshold=threshold, v_reset=zero)
            else:
                tau = one * np.float32(module.tau * DT)
                nodes[f"n{i}"] = nir.LIF(tau=tau, r=one, v_leak=zero, v_threshold=threshold, v_reset=zero)
            fired[f"n{i}"] = x.numpy().astype(bool)
        elif isinstance(module, torch.nn.Conv2d):
            bias = module.bias.detach().numpy()
            nodes[f"n{i}"] = nir.Conv2d(None, module.weight.detach().numpy(), (1, 1), (1, 1), (1, 1), 1, bias)
        elif isinstance(module, torch.nn.Linear):
            nodes[f"n{i}"] = nir.Affine(module.weight.detach().numpy(), module.bias.detach().numpy())
        elif isinstance(module, torch.nn.Flatten):
            nodes[f"n{i}"] = nir.Flatten({"input": None}, 0, -1)
        else:
            nodes[f"n{i}"] = nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))
    nodes["output"] = nir.Output({"output": np.array(x.shape[2:])})
    metadata = {"filopodia_format": 1, "dt": DT, "comparison": ">", "trained_comparison": ">="}
    return nir.NIRGraph(nodes, list(pairwise(nodes)), metadata=metadata, type_check=False), fired


def timed(work: Any) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(name: str, modules: list[Any], size: tuple[int, ...]) -> dict[str, Any]:
    for module in modules:
        functional.set_step_mode(module, "m")
    x = (torch.rand(size) < 0.3).float()
    graph, fired = to_graph(modules, x)
    network, spikes = hardware.load(graph), x.numpy()
    single = simulate_network(network, spikes, threads=1).spikes
    double = simulate_network(network, spikes, threads=1, dtype=np.float64).spikes

    def on_torch() -> None:
        y = x
        with torch.no_grad():
            for module in modules:
                functional.reset_net(module)
                y = module(y)

    times = [(timed(lambda: simulate_network(network, spikes, threads=1, record=())), timed(on_torch)) for _ in range(RUNS)]
    mine, theirs = (median(column) for column in zip(*times, strict=True))
    for module in modules:
        functional.reset_net(module.double())
    _, fired_double = to_graph(modules, x.double())
    return {
        "network": name,
        "neuron-steps": sum(s.size for s in fired.values()),
        "spikes": sum(int(s.sum()) for s in fired.values()),
        "differ in float32": sum(int((single[n] != s).sum()) for n, s in fired.items()),
        "differ in float64": sum(int((double[n] != s).sum()) for n, s in fired_double.items()),
        "ours s": round(mine, 4),
        "torch s": round(theirs, 4),
    }


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    machine = {"platform": platform.platform(), "python": platform.python_version(), "numpy": np.__version__}
    machine["torch"] = torch.__version__
    print(machine)
    rows = [measure(make.__name__, *make()) for make in (digits, cifar)]
    for row in rows:
        print(row)
    if "--save" in sys.argv:
        path = Path(__file__).parent / "results" / "network_reference.json"
        path.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
