"""How close the two kernels come to what this core's own inner loops can do at best.

    python benchmarks/simulator_peak.py [--rounds 5] [--save]

The best is measured, not computed: the same loads, logic, additions and stores on the same short vectors, but at addresses
known beforehand, operands in the first cache (kernel S) or rows one after the other in the second (kernel G), without lists,
neurons, packing or counting. Beside it stand a whole `simulate` of one layer, the kernel in it, and what its steps or rows cost
alone, in the units of that loop. CPU time, one thread, interleaved, medians.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numba import int16, uint64
from numpy.typing import NDArray
from simulator_nets import Shape, interleaved, machine, program

from filopodia.hardware import simulate
from filopodia.hardware.program import Program
from filopodia.hardware.simulator.add_rows import add_four
from filopodia.hardware.simulator.adders import WIDE
from filopodia.hardware.simulator.compiled import kernel
from filopodia.hardware.simulator.cost import Choice
from filopodia.hardware.simulator.gather import EIGHT
from filopodia.hardware.simulator.gather_rows import load_pairs
from filopodia.hardware.simulator.lanes import lanes_layer
from filopodia.hardware.simulator.prepared import prepare
from filopodia.hardware.simulator.simd import splat, store
from filopodia.hardware.simulator.spare import Spare
from filopodia.hardware.simulator.tile import Tile
from filopodia.hardware.simulator.transpose import load

SLOTS = 96  # vectors of 128 bytes that the loop of kernel S reads: 12 KiB


def _count(words: Any, times: Any, width: Any) -> None:
    """Kernel S's inner loop, four vectors added per step, `times` times over all slots; results go behind them."""
    w = uint64(WIDE)
    ones = load(words, uint64(0), width)
    twos = ones
    for _ in range(times):
        for i in range(0, SLOTS, 4):
            at = uint64(i) * w
            a, b = load(words, at, width), load(words, at + w, width)
            c, d = load(words, at + uint64(2) * w, width), load(words, at + uint64(3) * w, width)
            ones, twos, fours = add_four(ones, twos, a, b, c, d)
            out = uint64(SLOTS + i % 32) * w
            store(words, out, fours)
            store(words, out + w, ones)


def _add(weights: Any, rows: Any, sums: Any, width: Any) -> None:
    """Kernel G's inner loop: rows of 512 weights, one after the other, added to 16-bit sums."""
    block = uint64(512)
    first = load_pairs(weights, uint64(0), width)
    a = first ^ first
    b = a
    eight = splat(int16(8), a)
    for i in range(rows):
        row = load_pairs(weights, uint64(i) * block, width)
        a = a + row
        b = b + (row >> eight)
    store(sums, uint64(0), a)
    store(sums, uint64(512), b)


def aligned(words: int) -> NDArray[np.uint64]:
    """Zeros from the start of a cache line, as the simulator's own buffers: loads across two lines would be no best."""
    found = Spare().take(words)
    found[:] = 0
    return found


count, add = kernel(_count), kernel(_add)


def lanes(rounds: int) -> dict[str, float]:
    """Kernel S, 90 % sparse: a whole call, the kernel in it, and what its steps cost on top of those of a layer at 99.9 %."""
    found = {}
    words = aligned((SLOTS + 40) * WIDE)
    per_call = 2000 * SLOTS // 4
    for inputs, outputs in ((230, 512), (784, 512), (2048, 2048)):
        dense, empty = (program((Shape(outputs, False),), (inputs,), (d,), (0.2, 0.05)) for d in (0.1, 0.001))
        given = np.random.default_rng(1).random((8, 128, inputs)) < 0.2
        sides: dict[str, Callable[[], object]] = {
            "peak": partial(count, words, 2000, (0,) * WIDE),
            "call": partial(simulate, dense, given, record=(), threads=1),
            "kernel": _kernel(dense, given),
            "empty": _kernel(empty, given),
        }
        seconds = {side: float(np.median(times)) for side, times in interleaved(sides, rounds).items()}
        peak = seconds["peak"] / per_call
        name, steps = f"S, {inputs} to {outputs}, 90 % sparse", _steps(dense)
        found[f"{name}: whole call"] = peak * steps / seconds["call"]
        found[f"{name}: kernel with its neurons"] = peak * steps / seconds["kernel"]
        found[f"{name}: steps alone"] = peak * (steps - _steps(empty)) / (seconds["kernel"] - seconds["empty"])
        found["S, peak, ns per step of four vectors"] = 1e9 * peak
    return found


def _kernel(net: Program, given: NDArray[np.bool_]) -> Callable[[], object]:
    """The call of kernel S within `simulate`, to be repeated."""
    calls: list[tuple[Any, ...]] = []
    with (
        patch("filopodia.hardware.simulator.lanes.lanes_layer", lambda *arguments: calls.append(arguments)),
        patch.object(Tile, "_choose", lambda _tile, _index: Choice.LANES),
    ):
        simulate(net, given, record=(), threads=1)
    return partial(lanes_layer, *calls[0])


def _steps(net: Program) -> int:
    plan = prepare(net).lanes(0, WIDE)
    assert plan is not None
    return len(plan.adders.steps)


def gather(rounds: int) -> dict[str, float]:
    """Kernel G, one sample, 784 to 512: the whole call, and what a row costs on top of the same layer without spikes."""
    found = {}
    net = program((Shape(512, False),), (784,), (1.0,), (0.05, 0.05))
    weights, sums = aligned(784 * 64).view(np.uint8), aligned(128).view(np.uint8)
    silent = np.zeros((1000, 1, 784), np.bool_)
    for rate in (0.05, 0.2):
        given = np.random.default_rng(1).random(silent.shape) < rate
        rows = int(given.sum())
        sides: dict[str, Callable[[], object]] = {
            "peak": partial(add, weights, 784, sums, EIGHT),
            "ours": partial(simulate, net, given, record=(), threads=1),
            "silent": partial(simulate, net, silent, record=(), threads=1),
        }
        seconds = interleaved(sides, rounds)
        peak = float(np.median(seconds["peak"])) / 784
        found[f"G, 784 to 512, {rate:.0%} spikes: whole call"] = peak * rows / float(np.median(seconds["ours"]))
        each = [(a - b) / rows for a, b in zip(seconds["ours"], seconds["silent"], strict=True)]
        found[f"G, 784 to 512, {rate:.0%} spikes: rows alone"] = peak / float(np.median(each))
        found["G, peak, ns per row of 512 weights"] = 1e9 * peak
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/simulator_peak.json")
    asked = parser.parse_args()
    figures = lanes(asked.rounds) | gather(asked.rounds)
    for name, value in figures.items():
        print(f"{name:64s}{value:.4g}")
    if asked.save:
        path = Path(__file__).parent / "results" / "simulator_peak.json"
        path.write_text(json.dumps({"machine": machine(), "figures": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
