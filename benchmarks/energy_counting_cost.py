"""What exact counting costs beside the simulation it counts.

Medians over runs in turn, bare first and counted first alternately: whichever follows finds the caches and the heap warm.

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
from typing import Any

import numba
import numpy as np

from filopodia import hardware
from filopodia.hardware.compiler.place import place
from filopodia.hardware.energy.count import count_events
from filopodia.hardware.program import Connection, Conv, Input, Layer, Program, Sparse, Synapses
from filopodia.hardware.simulator.inputs import messages
from filopodia.hardware.simulator.prepared import prepare
from filopodia.hardware.simulator.run import run

ROUNDS = 41


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
    """Processor time, which neighbours on the machine do not lengthen."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"numpy {np.__version__}, numba {numba.__version__}, one thread\n"
    )
    head = ("bare ms", "counted ms", "counting", "per core ms")
    print(f"{'network':14} {'cores':>5} {'synops':>11} {head[0]:>10} {head[1]:>11} {head[2]:>9} {head[3]:>12}")
    rows = []
    for name, (shapes, kept, steps, samples) in NETWORKS.items():
        program = network(shapes, kept)
        spikes = np.random.default_rng(1).random((steps, samples, *shapes[0])) < 0.15
        prepared, given = prepare(program), messages(program.inputs, spikes)
        activity = run(prepared, given, frozenset(("spikes",)), 1, 2**30, None)  # also compiles the kernels

        def simulated(counts: bool, prepared: Any = prepared, given: Any = given) -> float:
            return seconds(lambda: run(prepared, given, frozenset(("spikes",)), 1, 2**30, None, counts))

        def counted(activity: Any = activity, program: Program = program) -> float:
            return seconds(lambda: count_events(activity, program))

        turns = []
        for turn in range(ROUNDS):
            first, second = simulated(turn % 2 == 1), simulated(turn % 2 == 0)
            turns.append((second, first) if turn % 2 else (first, second))
        bare, full = (median(turn[i] for turn in turns) for i in range(2))
        later = median(counted() for _ in range(5))
        share = median((turn[1] - turn[0]) / turn[0] for turn in turns)
        synops = sum(int(c.synops.sum()) for c in activity.counts.values())
        rows.append(
            {
                "network": name,
                "cores": len(program.cores),
                "synops": synops,
                "simulate_bare_s": bare,
                "simulate_counted_s": full,
                "counting_share": share,
                "count_events_s": later,
            }
        )
        times = f"{bare * 1e3:10.2f} {full * 1e3:11.2f} {share:9.1%} {later * 1e3:12.2f}"
        print(f"{name:14} {len(program.cores):5} {synops:11.4g} {times}")
    if "--save" in sys.argv:
        (Path(__file__).parent / "results" / "energy_counting_cost.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
