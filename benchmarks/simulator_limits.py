"""What the simulator's own cost depends on: non-zeros, spikes, steps, samples, counting, threads; and its memory.

    python benchmarks/simulator_limits.py [--rounds 5] [--save]

CPU time on one thread, interleaved, medians of per-round ratios; threads and memory by wall clock and peak resident size.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from simulator_nets import MNIST_FC, Shape, interleaved, machine, program, ratio

from filopodia.hardware import simulate
from filopodia.hardware.program import Program
from filopodia.hardware.simulator import run
from filopodia.hardware.simulator.inputs import messages
from filopodia.hardware.simulator.prepared import prepare


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/simulator_limits.json")
    asked = parser.parse_args()
    figures: dict[str, float] = {}
    for part in (sparsity, counting, linear, threads, memory):
        for name, value in part(asked.rounds).items():
            figures[name] = value
            print(f"{name:64s}{value:.4g}", flush=True)
    print(machine())
    if asked.save:
        path = Path(__file__).parent / "results" / "simulator_limits.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"machine": machine(), "figures": figures}, indent=1) + "\n")


def _runs(nets: dict[str, tuple[Program, int, int, float]]) -> dict[str, Callable[[], object]]:
    rng = np.random.default_rng(1)
    sides: dict[str, Callable[[], object]] = {}
    for name, (of, steps, samples, rate) in nets.items():
        given = rng.random((steps, samples, *of.inputs[0].shape)) < rate
        sides[name] = partial(simulate, of, given, record=(), threads=1)
    return sides


def sparsity(rounds: int) -> dict[str, float]:
    """A full connection 2048 -> 2048, from 90 % to 99 % sparse, and what is left when hardly a synapse is."""
    steps, samples = 8, 256
    nets = {f"{d}": program((Shape(2048, False),), (2048,), (d,), (0.2, 0.05)) for d in (0.1, 0.05, 0.01, 0.0001)}
    seconds = interleaved(_runs({name: (of, steps, samples, 0.2) for name, of in nets.items()}), rounds)
    title = "FC 2048, 20 % spikes"
    found = {
        f"{title}: 90 % over {100 - 100 * float(d):g} % sparse": ratio(seconds["0.1"], seconds[d]) for d in ("0.05", "0.01")
    }
    beyond = {d: [x - y for x, y in zip(seconds[d], seconds["0.0001"], strict=True)] for d in ("0.1", "0.01")}
    found[f"{title}: 90 % over 99 % sparse, each less 99.99 %"] = ratio(beyond["0.1"], beyond["0.01"])
    for d, times in seconds.items():
        name = f"{title}, {100 - 100 * float(d):g} % sparse: µs per sample and step"
        found[name] = 1e6 * statistics.median(times) / steps / samples
    return found


def counting(rounds: int) -> dict[str, float]:
    """All counts against none."""
    found = {}
    for density in (0.1, 0.01):
        net = program(MNIST_FC, (784,), (density,) * 3, (0.05,) * 4)
        given = messages(net.inputs, np.random.default_rng(1).random((16, 256, 784)) < 0.05)
        prepared = prepare(net)
        sides = {
            name: partial(run.run, prepared, given, frozenset(), 1, 2**30, None, name == "with") for name in ("with", "without")
        }
        seconds = interleaved(sides, 3 * rounds)
        found[f"784-512-512-10, {100 - 100 * density:g} % sparse: counting over not counting"] = ratio(
            seconds["with"], seconds["without"]
        )
    return found


def linear(rounds: int) -> dict[str, float]:
    """Time per unit of work while T, N and the spike rate grow; 1 is exactly linear."""
    net = program(MNIST_FC, (784,), (0.1,) * 3, (0.05,) * 4)
    cases = {
        "base": (net, 16, 256, 0.05),
        "4 T": (net, 64, 256, 0.05),
        "4 N": (net, 16, 1024, 0.05),
        "N / 4": (net, 16, 64, 0.05),
    }
    seconds = interleaved(_runs(cases), rounds)
    work = {name: steps * samples for name, (_, steps, samples, _) in cases.items()}
    return {
        f"784-512-512-10: time per step and sample, {name} over base": ratio(seconds[name], seconds["base"])
        * work["base"]
        / work[name]
        for name in list(cases)[1:]
    }


def threads(rounds: int) -> dict[str, float]:
    """Two threads against one, by wall clock, in turns of half a second (meaningless where others use the processors)."""
    net = program(MNIST_FC, (784,), (0.1,) * 3, (0.05,) * 4)
    found = {}
    for samples in (2048, 10_000):
        given = np.random.default_rng(1).random((16, samples, 784), dtype=np.float32) < 0.05
        ratios = []
        for _ in range(rounds + 1):
            wall = []
            for count in (1, 2):
                start, calls, spent = time.perf_counter(), 0, 0.0
                while spent < 0.5:
                    simulate(net, given, record=(), threads=count)
                    calls += 1
                    spent = time.perf_counter() - start
                wall.append(spent / calls)
            ratios.append(wall[0] / wall[1])
        found[f"784-512-512-10, N = {samples}: two threads over one, wall clock"] = statistics.median(ratios[1:])
    return found


def memory(_rounds: int) -> dict[str, float]:
    """Ten thousand MNIST-sized samples in one call, everything recorded, within the default bound of 1 GiB."""
    net = program(MNIST_FC, (784,), (0.05,) * 3, (0.05,) * 4)
    given = np.random.default_rng(1).random((16, 10_000, 784), dtype=np.float32) < 0.05
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    simulate(net, given)
    seconds = time.process_time() - start
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {
        "10 000 samples of 16 steps: CPU seconds": seconds,
        "10 000 samples of 16 steps: MiB beyond the input": grown / 1024,
    }


if __name__ == "__main__":
    main()
