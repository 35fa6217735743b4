"""The simulator's cost law: single layers on either kernel, measured, against what `hardware/simulator/cost.py` says.

    python benchmarks/simulator_cost.py [--rounds 5] [--save]

Full connections and convolutions over sizes, densities, spike rates, steps and samples; CPU time of the kernel alone on one
thread, median of `--rounds` calls. A processor's own speed comes and goes by half, so before every call a fixed loop is timed
too, and times are in units of that loop, taken as long as its quick turns are. Prints every case, how many are within 20 %,
whether the law picks the quicker kernel and what its wrong picks cost, and the prices that would fit best.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from scipy.optimize import nnls
from simulator_nets import Shape, machine, program
from simulator_peak import SLOTS, aligned, count

from filopodia.hardware import simulate
from filopodia.hardware.simulator.adders import WIDE
from filopodia.hardware.simulator.cost import GATHER_NS, LANES_NS, Choice, gather_work, lanes_work, nanoseconds
from filopodia.hardware.simulator.cut import cut
from filopodia.hardware.simulator.prepared import prepare
from filopodia.hardware.simulator.tile import Tile

NS = {Choice.LANES: LANES_NS, Choice.GATHER: GATHER_NS}
LOOPS = 500
METHOD = {Choice.LANES: "_lanes", Choice.GATHER: "_gather"}


@dataclass(frozen=True)
class Case:
    """A layer: 3 x 3 convolution of `size` = (channels, side) with as many channels, or full connection (inputs, outputs)."""

    conv: bool
    size: tuple[int, int]
    density: float
    rate: float
    steps: int
    samples: int


def cases() -> Iterator[Case]:
    """What is measured."""
    for size, density, rate, samples in product(((784, 512), (2048, 2048)), (0.01, 0.1, 0.3), (0.05, 0.2), (32, 128, 256)):
        yield Case(False, size, density, rate, 16, samples)
    for steps, samples in ((8, 128), (64, 128), (100, 16), (16, 16), (16, 64)):
        yield Case(False, (784, 512), 0.1, 0.05, steps, samples)
    for size, density, rate, samples in product(((64, 16), (128, 16), (256, 16)), (0.01, 0.1), (0.02, 0.1), (16, 32)):
        yield Case(True, size, density, rate, 8, samples)
    for density, rate in ((0.1, 0.05), (0.01, 0.02)):
        yield Case(True, (256, 32), density, rate, 8, 32)
    yield Case(True, (64, 16), 0.1, 0.05, 8, 128)


def measure(case: Case, rounds: int) -> dict[Choice, tuple[float, dict[str, float]]]:
    """How many times the fixed loop each kernel takes for the layer, and its work."""
    layer, start = (case.size[0], (case.size[0], case.size[1], case.size[1])) if case.conv else (case.size[1], (case.size[0],))
    net = program((Shape(layer, case.conv),), start, (case.density,), (case.rate, 0.05))
    given = np.random.default_rng(1).random((case.steps, case.samples, *start)) < case.rate
    prepared = prepare(net)
    layout = cut(prepared, frozenset(), case.steps, case.samples, 1, 2**30)
    plan = prepared.lanes(0, layout.unit)
    assert plan is not None
    work = {
        Choice.LANES: lanes_work(plan, case.samples, case.steps, layout),
        Choice.GATHER: gather_work(prepared, 0, {"input": float(given.sum())}, case.samples, case.steps),
    }
    return {choice: (statistics.median(_times(net, given, choice, rounds + 1)[1:]), work[choice]) for choice in Choice}


def _times(net: Any, given: Any, choice: Choice, calls: int) -> list[float]:
    spent = 0.0
    inner: Callable[..., None] = getattr(Tile, METHOD[choice])

    def timed(*arguments: Any) -> None:
        nonlocal spent
        start = time.process_time_ns()
        inner(*arguments)
        spent += time.process_time_ns() - start

    found = []
    with patch.object(Tile, METHOD[choice], timed), patch.object(Tile, "_choose", lambda _tile, _index: choice):
        for _ in range(calls):
            spent, clock = 0.0, fixed_loop()
            simulate(net, given, record=(), threads=1)
            found.append(2 * spent / (clock + fixed_loop()))
    return found


WORDS = aligned((SLOTS + 40) * WIDE)


def fixed_loop() -> float:
    """Nanoseconds of kernel S's inner loop, now."""
    start = time.process_time_ns()
    count(WORDS, LOOPS, (0,) * WIDE)
    return float(time.process_time_ns() - start)


def fit(work: list[dict[str, float]], measured: list[float]) -> dict[str, float]:
    """Prices of the least relative error, cases that were disturbed counting little (least absolute deviations)."""
    names = list(work[0])
    relative = np.array([[w[name] for name in names] for w in work]) / np.array(measured)[:, None]
    weight = np.ones(len(measured))
    for _ in range(50):
        prices, _ = nnls(relative * weight[:, None], weight)
        weight = 1 / np.sqrt(np.maximum(np.abs(relative @ prices - 1), 0.02))
    return {name: float(f"{price:.3g}") for name, price in zip(names, prices, strict=True)}


def picked(measured: dict[Choice, tuple[float, dict[str, float]]]) -> float:
    """What the kernel takes that the law picks."""
    return measured[min(Choice, key=lambda c: nanoseconds(measured[c][1], NS[c]))][0]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/simulator_cost.json")
    asked = parser.parse_args()
    found = []
    unit = sorted(fixed_loop() for _ in range(200))[20]
    for case in cases():
        found.append({c: (unit * loops, work) for c, (loops, work) in measure(case, asked.rounds).items()})
        said = {c: nanoseconds(work, NS[c]) / ns for c, (ns, work) in found[-1].items()}
        what = f"{'conv' if case.conv else 'FC'} {case.size}, {1 - case.density:.0%} sparse, {case.rate:.0%} spikes"
        ours = f"said / measured: S {said[Choice.LANES]:.2f}  G {said[Choice.GATHER]:.2f}"
        print(f"{what:44} T {case.steps:3} N {case.samples:3}  {ours}", flush=True)
    figures: dict[str, Any] = {"cases": len(found)}
    for choice in Choice:
        measured, work = [x[choice][0] for x in found], [x[choice][1] for x in found]
        ratios = np.array([nanoseconds(w, NS[choice]) / ns for w, ns in zip(work, measured, strict=True)])
        figures[choice.value] = {
            "within_20_percent": float(np.mean(np.abs(np.log(ratios)) <= np.log(1.2))),
            "said_over_measured": {f"{p}%": float(np.percentile(ratios, p)) for p in (0, 10, 50, 90, 100)},
            "fitted_ns": fit(work, measured),
        }
    lost = [picked(x) / min(ns for ns, _ in x.values()) for x in found]
    figures["wrong_picks"] = sum(x > 1 for x in lost)
    figures["time_of_picks_over_best"] = {"median": float(np.median(lost)), "worst": max(lost)}
    print(json.dumps(figures, indent=1))
    if asked.save:
        path = Path(__file__).parent / "results" / "simulator_cost.json"
        path.write_text(json.dumps({"machine": machine(), **figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
