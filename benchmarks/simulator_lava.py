"""The simulator against real Lava 0.10.0 (fixed-point models) on 784-512-512-10, every layer held at 5 % spikes.

    python benchmarks/simulator_lava.py [--rounds 5] [--save]

Lava's time per step is the wall-clock difference between a long and a short run: its start-up does not count. Ours is CPU
time on one thread, and wall-clock time on two. Rounds alternate. Lava's processes wait for each other all the time, so run
this on an idle machine only: at a load of ten its steps took 34 times as long.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
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
        wall = [_wall(partial(run_lava, net, part, record=())) for part in (long, long[:SHORT])]
        lava = (wall[0] - wall[1]) / (LONG - SHORT)
        single = _ours(lambda: simulate(net, long, record=(), threads=1))[0] / LONG
        many = _ours(lambda: simulate(net, batch, record=(), threads=1))[0] / batch.shape[0] / batch.shape[1]
        two = _ours(lambda: simulate(net, batch, record=(), threads=2))[1] / batch.shape[0] / batch.shape[1]
        row = {
            "lava_ms_per_step": 1e3 * lava,
            "ours_one_sample_us_per_step": 1e6 * single,
            "ours_batch_us_per_sample_step": 1e6 * many,
            "x_one_sample": lava / single,
            "x_batch": lava / many,
            "x_batch_two_threads": lava / two,
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


def _wall(run: Callable[[], object]) -> float:
    """Wall-clock seconds of a call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _ours(run: Callable[[], object]) -> tuple[float, float]:
    """CPU and wall-clock seconds of this process, the best of twenty."""
    found = []
    for _ in range(20):
        cpu, wall = time.process_time(), time.perf_counter()
        run()
        found.append((time.process_time() - cpu, time.perf_counter() - wall))
    return min(x[0] for x in found), min(x[1] for x in found)


if __name__ == "__main__":
    main()
