"""The simulator against real Lava 0.10.0 (fixed-point models) on 784-512-512-10, every layer held at 5 % spikes.

    python benchmarks/simulator_lava.py [--rounds 5] [--save]

Lava's time per step is the difference between a long and a short run, so that its start-up does not count; it is given twice,
as CPU time of all its processes and as wall-clock time (it waits for itself between processes). Ours is CPU time on one
thread, and wall-clock time on two. Rounds alternate. Where others load the machine, only the CPU ratio means anything.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from simulator_nets import MNIST_FC, machine, program

from filopodia.hardware import run_lava, simulate

LONG, SHORT = 1200, 200  # steps of one sample


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/simulator_lava.json")
    asked = parser.parse_args()
    net = program(MNIST_FC, (784,), (0.1,) * 3, (0.05,) * 4)
    rng = np.random.default_rng(1)
    long, batch = rng.random((LONG, 1, 784)) < 0.05, rng.random((16, 256, 784)) < 0.05
    for given in (long, batch):
        simulate(net, given, record=())
    figures: dict[str, list[float]] = {}
    for _ in range(asked.rounds):
        cpu, wall = zip(
            *(_lava(lambda part=part: run_lava(net, part, record=())) for part in (long, long[:SHORT])), strict=True
        )
        lava_cpu, lava_wall = (cpu[0] - cpu[1]) / (LONG - SHORT), (wall[0] - wall[1]) / (LONG - SHORT)
        single = _ours(lambda: simulate(net, long, record=(), threads=1))[0] / LONG
        many = _ours(lambda: simulate(net, batch, record=(), threads=1))[0] / batch.shape[0] / batch.shape[1]
        two = _ours(lambda: simulate(net, batch, record=(), threads=2))[1] / batch.shape[0] / batch.shape[1]
        row = {
            "lava_cpu_ms_per_step": 1e3 * lava_cpu,
            "lava_wall_ms_per_step": 1e3 * lava_wall,
            "ours_one_sample_us_per_step": 1e6 * single,
            "ours_batch_us_per_sample_step": 1e6 * many,
            "x_one_sample_cpu": lava_cpu / single,
            "x_batch_cpu": lava_cpu / many,
            "x_one_sample_wall_over_cpu": lava_wall / single,
            "x_batch_wall_over_cpu": lava_wall / many,
            "x_batch_two_threads_wall": lava_wall / two,
        }
        for name, value in row.items():
            figures.setdefault(name, []).append(value)
    medians = {name: statistics.median(values) for name, values in figures.items()}
    print(machine())
    for name, value in medians.items():
        print(f"{name:34s}{value:.4g}")
    if asked.save:
        path = Path(__file__).parent / "results" / "simulator_lava.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"machine": machine(), "figures": medians}, indent=1) + "\n")


def _lava(run: Callable[[], object]) -> tuple[float, float]:
    """CPU seconds of the processes that a call starts, and wall-clock seconds."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    run()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, time.perf_counter() - start


def _ours(run: Callable[[], object]) -> tuple[float, float]:
    """CPU and wall-clock seconds of this process, the best of five."""
    found = []
    for _ in range(5):
        cpu, wall = time.process_time(), time.perf_counter()
        run()
        found.append((time.process_time() - cpu, time.perf_counter() - wall))
    return min(x[0] for x in found), min(x[1] for x in found)


if __name__ == "__main__":
    main()
