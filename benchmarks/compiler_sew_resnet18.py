"""Compile and place SEW-ResNet18 at 224 x 224, 90 % of its weights zero: time and memory.

    uv run benchmarks/compiler_sew_resnet18.py [--chip loihi2] [--size 224] [--save]

The network is built here from random weights in the shape of SEW-ResNet18 (ADD), batch normalisation folded, T = 4: what counts
for the compiler is its size. Targets: at most 60 s on 2 cores, and a peak of memory at most 4 x the program's arrays.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import time
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


def sew_resnet18(size: int = 224, classes: int = 1000, density: float = DENSITY, seed: int = 0) -> Network:
    """SEW-ResNet18 (ADD) with IF neurons as a loaded network, max-pooling as sum pooling and a threshold."""
    rng = np.random.default_rng(seed)
    nodes: dict[str, object] = {"input": nir.Input({"input": np.array([3, size, size])})}
    edges: list[tuple[str, str]] = []

    def add(name: str, node: object, *sources: str) -> str:
        nodes[name] = node
        edges.extend((source, name) for source in sources)
        return name

    def conv(name: str, into: int, out: int, kernel: int, stride: int, *sources: str) -> str:
        weight = rng.normal(0, 1 / np.sqrt(density * into * kernel**2), (out, into, kernel, kernel)).astype(np.float32)
        weight *= rng.random(weight.shape, np.float32) < density
        bias = rng.normal(0.1, 0.1, out).astype(np.float32)
        edge = (kernel // 2, kernel // 2)
        add(name, nir.Conv2d(None, weight, (stride, stride), edge, (1, 1), 1, bias), *sources)
        return add(f"{name}.if", _if(), name)

    first = conv("conv1", 3, 64, 7, 2, "input")
    pool = nir.SumPool2d(np.array([3, 3]), np.array([2, 2]), np.array([1, 1]))
    last = (add("maxpool", nir.Threshold(np.array(0.5, np.float32)), add("maxpool.sum", pool, first)),)
    into = 64
    for stage, out in enumerate((64, 128, 256, 512)):
        for block in range(2):
            name, stride = f"layer{stage + 1}.{block}", 2 if stage and not block else 1
            inner = conv(f"{name}.conv1", into, out, 3, stride, *last)
            spikes = conv(f"{name}.conv2", out, out, 3, 1, inner)
            skipped = (conv(f"{name}.down", into, out, 1, 2, *last),) if stride == 2 else last
            last, into = (spikes, *skipped), out
    side = -(-size // 32)
    pooled = add("avgpool", nir.AvgPool2d(np.array([side, side]), np.array([side, side]), np.array([0, 0])), *last)
    flat = add("flatten", nir.Flatten({"input": np.array([512, 1, 1])}, 0, -1), pooled)
    weight = rng.normal(0, 0.1, (classes, 512)).astype(np.float32) * (rng.random((classes, 512)) < density)
    add("fc", nir.Affine(weight.astype(np.float32), np.zeros(classes, np.float32)), flat)
    add("output", nir.Output({"output": np.array([classes])}), "fc")
    return hardware.load(nir.NIRGraph(nodes, edges, type_check=False), dt=DT, comparison=">=")


def _if() -> nir.IF:
    one = np.array(1.0, np.float32)
    return nir.IF(r=np.array(1 / DT, np.float32), v_threshold=one, v_reset=np.array(0.0, np.float32))


def program_bytes(program: Program) -> int:
    """Bytes of a program's arrays, shared ones once."""
    arrays: dict[int, int] = {}
    for owner in (*program.layers, *(c.synapses for c in program.connections)):
        arrays |= {id(v): v.nbytes for v in vars(owner).values() if isinstance(v, np.ndarray)}
    for core in program.cores:
        arrays |= {id(v): v.nbytes for v in core.neurons.values()}
    return sum(arrays.values())


def timed(progress: Callable[[str, int, int], None], network: Network, chip: str) -> tuple[Program, float]:
    """A compilation and its seconds."""
    start = time.perf_counter()
    program = hardware.compile(network, chip=chip, graded={"input": Graded(bits=4)}, progress=progress)
    return program, time.perf_counter() - start


def main() -> None:
    """Print the figures as a table, and save them on request."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--chip", default="loihi2")
    options.add_argument("--size", type=int, default=224)
    options.add_argument("--save", action="store_true")
    given = options.parse_args()
    network = sew_resnet18(given.size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    stages: dict[str, float] = {}
    start = time.perf_counter()
    program, seconds = timed(
        lambda stage, done, total: stages.setdefault(stage, time.perf_counter() - start), network, given.chip
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    size = program_bytes(program)
    figures = {
        "chip": given.chip,
        "input": given.size,
        "seconds": round(seconds, 2),
        "place_starts_at": round(stages["place"], 2),
        "neurons": sum(layer.size for layer in program.layers),
        "connections": len(program.connections),
        "cores": len(program.cores),
        "chips": program.metadata["chips"],
        "program_mb": round(size / 1e6, 1),
        "peak_above_network_mb": round((peak - before) / 1e6, 1),
        "peak_over_program": round((peak - before) / size, 2),
        "utilization": program.metadata["utilization"],
        "machine": f"{platform.machine()}, {platform.processor() or 'unknown processor'}",
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
    }
    for name, value in figures.items():
        print(f"{name:>22}  {value}")
    if given.save:
        path = Path(__file__).parent / "results" / "compiler_sew_resnet18.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
