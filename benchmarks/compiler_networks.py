"""Compile, place and simulate the networks of the STDS paper and a recurrent one: time, memory, cores, spikes.

    uv run benchmarks/compiler_networks.py [--network sew-resnet18] [--chip loihi2] [--save]

CIFAR10Net (32 x 32), SEW-ResNet18 (ADD, 224 x 224) and a recurrent net (700 inputs, 512 recurrent neurons) are built here from
random weights, 90 % of them zero, with batch normalisation folded, and inputs fed in as graded spikes of 4 bits (as spikes on
Loihi 1): what counts for the compiler is their size. One sample of 4 steps is then simulated. Targets for SEW-ResNet18: at most
60 s on 2 cores, and a peak of memory at most 4 x the program's arrays.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import nir
import numpy as np

from filopodia import hardware
from filopodia.hardware.compiler.analog import Graded
from filopodia.hardware.network.network import Network
from filopodia.hardware.program import Program

DT = 1e-3
DENSITY = 0.1


class Builder:
    """A NIR graph in the making, with random sparse weights."""

    def __init__(self, shape: tuple[int, ...], density: float, seed: int, tau_steps: float | None) -> None:
        self.rng = np.random.default_rng(seed)
        self.density, self.tau_steps = density, tau_steps
        self.nodes: dict[str, object] = {"input": nir.Input({"input": np.array(shape)})}
        self.edges: list[tuple[str, str]] = []

    def add(self, name: str, node: object, *sources: str) -> str:
        self.nodes[name] = node
        self.edges.extend((source, name) for source in sources)
        return name

    def weight(self, *shape: int) -> np.ndarray:
        spread = (self.tau_steps or 1.0) * 2 / np.sqrt(self.density * np.prod(shape[1:]))  # enough for all layers to fire
        values = self.rng.normal(0, spread, shape).astype(np.float32)
        values *= self.rng.random(shape, np.float32) < self.density
        return values

    def neurons(self, name: str, *sources: str) -> str:
        one, zero = np.array(1.0, np.float32), np.array(0.0, np.float32)
        if self.tau_steps is None:
            return self.add(name, nir.IF(np.array(1 / DT, np.float32), one, zero), *sources)
        return self.add(name, nir.LIF(np.array(self.tau_steps * DT, np.float32), one, zero, one, zero), *sources)

    def conv(self, name: str, into: int, out: int, kernel: int, stride: int, *sources: str) -> str:
        bias = self.rng.normal(0.1, 0.1, out).astype(np.float32)
        edge = (kernel // 2, kernel // 2)
        node = nir.Conv2d(None, self.weight(out, into, kernel, kernel), (stride, stride), edge, (1, 1), 1, bias)
        return self.neurons(f"{name}.spikes", self.add(name, node, *sources))

    def affine(self, name: str, into: int, out: int, *sources: str) -> str:
        return self.add(name, nir.Affine(self.weight(out, into), np.zeros(out, np.float32)), *sources)

    def max_pool(self, name: str, kernel: int, stride: int, padding: int, *sources: str) -> str:
        pool = nir.SumPool2d(np.array([kernel] * 2), np.array([stride] * 2), np.array([padding] * 2))
        return self.add(name, nir.Threshold(np.array(0.5, np.float32)), self.add(f"{name}.sum", pool, *sources))

    def network(self, classes: int, last: str) -> Network:
        self.add("output", nir.Output({"output": np.array([classes])}), last)
        return hardware.load(nir.NIRGraph(self.nodes, self.edges, type_check=False), dt=DT, comparison=">=")


def sew_resnet18(size: int = 224, classes: int = 1000, density: float = DENSITY, seed: int = 0) -> Network:
    """SEW-ResNet18 (ADD) with IF neurons; max-pooling is a sum and a threshold."""
    net = Builder((3, size, size), density, seed, None)
    last: tuple[str, ...] = (net.max_pool("maxpool", 3, 2, 1, net.conv("conv1", 3, 64, 7, 2, "input")),)
    into = 64
    for stage, out in enumerate((64, 128, 256, 512)):
        for block in range(2):
            name, stride = f"layer{stage + 1}.{block}", 2 if stage and not block else 1
            inner = net.conv(f"{name}.conv1", into, out, 3, stride, *last)
            spikes = net.conv(f"{name}.conv2", out, out, 3, 1, inner)
            skipped = (net.conv(f"{name}.down", into, out, 1, 2, *last),) if stride == 2 else last
            last, into = (spikes, *skipped), out
    side = -(-size // 32)
    pool = nir.AvgPool2d(np.array([side, side]), np.array([side, side]), np.array([0, 0]))
    flat = net.add("flatten", nir.Flatten({"input": np.array([512, 1, 1])}, 0, -1), net.add("avgpool", pool, *last))
    return net.network(classes, net.affine("fc", 512, classes, flat))


def cifar10net(size: int = 32, density: float = DENSITY, seed: int = 0) -> Network:
    """The paper's CIFAR-10 network: six convolutions of 256 channels, two linear layers, LIF neurons (tau = 2), ten votes."""
    net = Builder((3, size, size), density, seed, 2.0)
    last, into = "input", 3
    for k in range(6):
        last, into = net.conv(f"conv{k + 1}", into, 256, 3, 1, last), 256
        if k in (2, 5):
            last = net.max_pool(f"pool{k // 3 + 1}", 2, 2, 0, last)
    features = 256 * (size // 4) ** 2
    flat = net.add("flatten", nir.Flatten({"input": np.array([256, size // 4, size // 4])}, 0, -1), last)
    hidden = net.neurons("fc1.spikes", net.affine("fc1", features, 2048, flat))
    return net.network(100, net.neurons("fc2.spikes", net.affine("fc2", 2048, 100, hidden)))


def recurrent(size: int = 700, density: float = DENSITY, seed: int = 0) -> Network:
    """A layer of LIF neurons that hear their own last spikes, as for spoken digits (SHD: 700 channels, 20 classes)."""
    net = Builder((size,), density, seed, 2.0)
    hidden = net.neurons("hidden", net.affine("fc1", size, 512, "input"))
    net.edges.append((net.affine("back", 512, 512, hidden), hidden))
    return net.network(20, net.neurons("out", net.affine("fc2", 512, 20, hidden)))


NETWORKS: dict[str, Callable[[int], Network]] = {
    "sew-resnet18": sew_resnet18,
    "cifar10net": cifar10net,
    "recurrent": recurrent,
}
SIZES = {"sew-resnet18": 224, "cifar10net": 32, "recurrent": 700}
STEPS = 4


def program_bytes(program: Program) -> int:
    """Bytes of a program's arrays, shared ones once."""
    arrays: dict[int, int] = {}
    for owner in (*program.layers, *(c.synapses for c in program.connections)):
        arrays |= {id(v): v.nbytes for v in vars(owner).values() if isinstance(v, np.ndarray)}
    for core in program.cores:
        arrays |= {id(v): v.nbytes for v in core.neurons.values()}
    return sum(arrays.values())


def timed(progress: Callable[[str, int, int], None], network: Network, chip: str) -> tuple[Program, float, float]:
    """A compilation, its seconds and its seconds of CPU."""
    start, cpu = time.perf_counter(), time.process_time()
    graded = {} if chip == "loihi1" else {"input": Graded(bits=4)}  # Loihi 1 hears spikes only
    program = hardware.compile(network, chip=chip, graded=graded, progress=progress)
    return program, time.perf_counter() - start, time.process_time() - cpu


def simulated(program: Program) -> dict[str, object]:
    """One sample of random input through a program: seconds of CPU, and spikes and silent layers of all neurons."""
    (node,) = program.inputs
    rng = np.random.default_rng(1)
    shown = rng.random((STEPS, 1, *node.shape)) < 0.3
    given = shown * rng.integers(1, 2**node.message_bits, shown.shape) if node.message_bits else shown
    cpu = time.process_time()
    counts = hardware.simulate(program, given, record=()).counts
    fired = {layer.name: int(counts[layer.name].spikes.sum()) for layer in program.layers}
    return {
        "simulate_steps": STEPS,
        "simulate_cpu_seconds": round(time.process_time() - cpu, 2),
        "spikes": sum(fired.values()),
        "synops": int(sum(counts[layer.name].synops.sum() for layer in program.layers)),
        "silent_layers": [name for name, spikes in fired.items() if not spikes],
    }


def main() -> None:
    """Print the figures as a table, and save them on request."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--chip", default="loihi2")
    options.add_argument("--network", choices=NETWORKS, default="sew-resnet18")
    options.add_argument("--size", type=int, help="height and width of the input; 224 or 32 when left out")
    options.add_argument("--save", action="store_true")
    given = options.parse_args()
    size = given.size or SIZES[given.network]
    network = NETWORKS[given.network](size)
    stages: dict[str, float] = {}
    start = time.perf_counter()
    program, seconds, cpu = timed(
        lambda stage, done, total: stages.setdefault(stage, time.perf_counter() - start), network, given.chip
    )
    del program
    tracemalloc.start()  # a second time, as watching memory takes time
    program, _, _ = timed(lambda stage, done, total: None, network, given.chip)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    held = program_bytes(program)
    figures = {
        "chip": given.chip,
        "network": given.network,
        "input": size,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
        "place_starts_at": round(stages["place"], 2),
        "neurons": sum(layer.size for layer in program.layers),
        "connections": len(program.connections),
        "cores": len(program.cores),
        "chips": program.metadata["chips"],
        "program_mb": round(held / 1e6, 1),
        "peak_mb": round(peak / 1e6, 1),
        "peak_over_program": round(peak / held, 2),
        "utilization": program.metadata["utilization"],
        **simulated(program),
        "machine": f"{platform.machine()}, {platform.processor() or 'unknown processor'}",
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
    }
    for name, value in figures.items():
        print(f"{name:>22}  {value}")
    if given.save:
        path = Path(__file__).parent / "results" / f"compiler_{given.network.replace('-', '_')}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
