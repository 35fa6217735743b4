"""Real Lava and the readable reference agree on every spike, u and v: live where Lava runs, and replayed where it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lava_programs
import nir_networks
import numpy as np
import pytest

from filopodia.hardware.lava.runner import run_many
from filopodia.hardware.simulator import reference
from filopodia.hardware.simulator.simulate import simulate

GOLDEN = Path(__file__).parent.parent / "golden"
LIVE = {"threads": 100, "processes": 6}
COMPILED = 40


@pytest.mark.parametrize("file", sorted(path.name for path in GOLDEN.glob("lava_*.npz")))
def test_reference_makes_what_lava_made(file: str) -> None:
    for k, kept in enumerate(lava_programs.load(GOLDEN / file)):
        trace = reference.run(kept.case.program, kept.case.spikes)
        for layer in kept.case.program.layers:
            where = f"program {k}, {layer.name}"
            spikes = trace.spikes[layer.name].reshape(kept.spikes[layer.name].shape)
            np.testing.assert_array_equal(spikes, kept.spikes[layer.name], where)
            sums = lava_programs.checksums(trace.u[layer.name], trace.v[layer.name])
            np.testing.assert_array_equal(sums, kept.sums[layer.name], where)


def test_kernels_make_what_lava_made() -> None:
    for k, kept in enumerate(lava_programs.load(GOLDEN / "lava_first.npz")):
        ran = simulate(kept.case.program, kept.case.spikes, record=("spikes", "u", "v"))
        for layer in kept.case.program.layers:
            np.testing.assert_array_equal(ran.spikes[layer.name], kept.spikes[layer.name], f"program {k}, {layer.name}")
            sums = lava_programs.checksums(ran.states["u"][layer.name], ran.states["v"][layer.name])
            np.testing.assert_array_equal(sums, kept.sums[layer.name], f"program {k}, {layer.name}")


@pytest.mark.lava
@pytest.mark.parametrize("actors", ["threads", "processes"])
def test_lava_makes_what_the_reference_makes(lava: str, actors: Any) -> None:
    same([(case.program, case.spikes) for case in lava_programs.draw_cases(LIVE[actors], seed=1)], actors)


@pytest.mark.lava
def test_lava_makes_of_compiled_networks_what_the_reference_makes(lava: str) -> None:
    """NIR networks of every kind: max-pooling, relays, current-based neurons, skips, loops, read-outs, graded inputs."""
    same([nir_networks.compiled(seed) for seed in range(COMPILED)], "threads")


def same(cases: list[Any], actors: Any) -> None:
    """Run cases on Lava and compare spikes, u and v of every layer with the reference."""
    runs = run_many(cases, record=("spikes", "u", "v"), actors=actors)
    for (program, spikes), ran in zip(cases, runs, strict=True):
        trace = reference.run(program, spikes)
        for layer in program.layers:
            shape = ran.spikes[layer.name].shape
            np.testing.assert_array_equal(ran.spikes[layer.name], trace.spikes[layer.name].reshape(shape))
            np.testing.assert_array_equal(ran.states["u"][layer.name], trace.u[layer.name].reshape(shape))
            np.testing.assert_array_equal(ran.states["v"][layer.name], trace.v[layer.name].reshape(shape))
