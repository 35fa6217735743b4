"""What exact counting per core costs beside the simulation it counts: medians of runs in turn (simulate, count, simulate, ...).

uv run python benchmarks/energy_counting_cost.py [--save]
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median

import numba
import numpy as np

from filopodia import hardware
from filopodia.hardware.compiler.place import place
from filopodia.hardware.energy.count import count_events
from filopodia.hardware.program import Connection, Conv, Input, Layer, Program, Sparse, Synapses

ROUNDS = 5


def network(shapes: list[tuple[int, ...]], kept: float, seed: int = 0) -> Program:
    """Layers of these shapes on Loihi 2: 3 x 3 convolutions between images (strided where they shrink), else sparse lists."""
    rng = np.random.default_rng(seed)
    layers, connections = [], []
    for i, (source, target) in enumerate(pairwise(shapes)):
        synapses: Synapses
        if len(target) == 3:
            weight = 2 * rng.integers(-60, 64, (target[0], source[0], 3, 3)) * (rng.random((target[0], source[0], 3, 3)) < kept)
            stride = source[1] // target[1]
            synapses, fan_in = Conv(weight.astype(np.int16), (stride, stride), (1, 1)), source[0] * 9
        else:
            size = (int(np.prod(target)), int(np.prod(source)))
            mask = rng.random(size) < kept
            data = (2 * rng.integers(-60, 64, int(mask.sum()))).astype(np.int16)
            indptr = np.concatenate([[0], np.cumsum(mask.sum(axis=1))])
            synapses, fan_in = Sparse(size, indptr, np.nonzero(mask)[1].astype(np.int32), data), size[1]
        vth = np.array(int(70 * np.sqrt(fan_in * kept * 0.15)), np.int32)  # keeps rates near a tenth
        decay, memoryless, bias = (np.array(x, np.int32) for x in (1024, 4095, 4))
        layers.append(Layer(f"l{i}", target, memoryless, decay, vth, bias, latency=i + 1))
        connections.append(Connection("in" if i == 0 else f"l{i - 1}", f"l{i}", synapses))
    made = Program((Input("in", shapes[0]),), tuple(layers), tuple(connections), (layers[-1].name,), "loihi2")
    return replace(made, cores=place(made, hardware.load_chip("loihi2")).cores)


NETWORKS: dict[str, tuple[list[tuple[int, ...]], float, int, int]] = {  # shapes, weights kept, T, N
    "784-512-10": ([(784,), (512,), (10,)], 0.1, 16, 256),
    "digits CSNN": ([(1, 8, 8), (32, 8, 8), (64, 4, 4), (256,), (40,)], 0.1, 16, 360),
    "CIFAR CSNN": ([(3, 32, 32), (64, 32, 32), (64, 16, 16), (128, 8, 8), (256,), (10,)], 0.1, 4, 64),
}


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"numpy {np.__version__}, numba {numba.__version__}\n"
    )
    print(f"{'network':14} {'cores':>5} {'synops':>12} {'simulate s':>11} {'count s':>9} {'count / simulate':>17}")
    rows = []
    for name, (shapes, kept, steps, samples) in NETWORKS.items():
        program = network(shapes, kept)
        spikes = np.random.default_rng(1).random((steps, samples, *shapes[0])) < 0.15
        activity = hardware.simulate(program, spikes)  # also compiles the kernels
        pairs = [
            (seconds(lambda: hardware.simulate(program, spikes)), seconds(lambda: count_events(activity, program)))  # noqa: B023
            for _ in range(ROUNDS)
        ]
        run, count = median(a for a, _ in pairs), median(b for _, b in pairs)
        synops = sum(int(c.synops.sum()) for c in activity.counts.values())
        rows.append({"network": name, "cores": len(program.cores), "synops": synops, "simulate_s": run, "count_s": count})
        print(f"{name:14} {len(program.cores):5} {synops:12.4g} {run:11.4f} {count:9.4f} {count / run:17.1%}")
    if "--save" in sys.argv:
        (Path(__file__).parent / "results" / "energy_counting_cost.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
