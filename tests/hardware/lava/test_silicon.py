"""Where Lava's processor models differ from the silicon: each difference shown on real Lava, beside what the chip does.

The chip's rules are those of two emulators checked against boards: nengo-loihi (`discretize_weights`, `emulator/interface.py`)
and brian2_loihi (`calcActualWeights`). The compiler emits only programs for which both sides are the same number.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from filopodia.hardware.lava.runner import run_many
from filopodia.hardware.program import Connection, Conv, Dense, Input, Layer, Program
from filopodia.hardware.simulator import reference
from filopodia.hardware.simulator.simulate import simulate


def adder(weights: Sequence[int], exponent: int = 0, message_bits: int = 0, bits: int = 8) -> Program:
    """One neuron whose current is the weighted sum of this step alone."""
    silent = Layer("a", (1,), *(np.array(value, np.int32) for value in (4095, 4095, 131071, 0)), latency=1)
    dense = Dense(np.array([weights], np.int16))
    connection = Connection("in", "a", dense, weight_exp=exponent, message_bits=message_bits, weight_bits=bits)
    return Program((Input("in", (len(weights),), message_bits),), (silent,), (connection,), ("a",))


def kernel(weight: int) -> Program:
    silent = Layer("a", (1, 1, 1), *(np.array(value, np.int32) for value in (4095, 4095, 131071, 0)), latency=1)
    connection = Connection("in", "a", Conv(np.full((1, 1, 1, 1), weight, np.int16)))
    return Program((Input("in", (1, 1, 1)),), (silent,), (connection,), ("a",))


# name: (program, message, what Lava adds up, what the chip adds up)
DIFFERENCES: dict[str, tuple[Program, int, int, int]] = {
    "negative exponent: Lava shifts the sum, the chip each weight": (adder([6, 6], -2), 1, 12 >> 2, (6 >> 2) + (6 >> 2)),
    "odd mixed weight: Lava rounds down, the chip towards zero": (adder([-3]), 1, -4, -2),
    "fewer bits: Lava rounds down on the wider grid, the chip towards zero": (adder([-6], bits=6), 1, -8, 0),
    "sum past 16 bits: Lava keeps it, the chip's accumulator wraps": (adder([200] * 200), 1, 40000, 40000 - 2**16),
    "kernel past 8 bits: Lava's Conv takes it, the chip has no room for it": (kernel(300), 1, 300, 254),
}


@pytest.mark.lava
def test_lava_differs_from_the_chip_where_we_say(lava: str) -> None:
    cases = [
        (program, np.full((1, 1, *program.inputs[0].shape), message, np.int32))
        for program, message, _, _ in DIFFERENCES.values()
    ]
    # What the compiler emits (even weights, no right shift, sums below 2^15) leaves nothing to differ.
    weights = 2 * np.random.default_rng(0).integers(-127, 128, 60)
    cases.append((adder([int(w) for w in weights], 1), np.ones((1, 1, 60), np.int32)))
    *runs, emitted = run_many(cases, record=("u",), actors="threads")
    for name, ran in zip(DIFFERENCES, runs, strict=True):
        _, _, on_lava, on_chip = DIFFERENCES[name]
        assert int(ran.states["u"]["a"].item()) >> 6 == on_lava != on_chip, name
    assert int(emitted.states["u"]["a"].item()) >> 6 == int((weights << 1).sum())


@pytest.mark.parametrize("name", DIFFERENCES)
def test_the_reference_sides_with_lava(name: str) -> None:
    program, message, on_lava, _ = DIFFERENCES[name]
    trace = reference.run(program, {"in": np.full((1, 1, *program.inputs[0].shape), message, np.int32)})
    assert int(trace.u["a"].item()) >> 6 == on_lava


@pytest.mark.parametrize("name", DIFFERENCES)
def test_the_silicon_arithmetic_sides_with_the_chip(name: str) -> None:
    program, message, on_lava, on_chip = DIFFERENCES[name]
    given = np.full((1, 1, *program.inputs[0].shape), message, np.int32)
    for arithmetic, expected in (("lava", on_lava), ("loihi", on_chip)):
        ran = simulate(program, given, record=("u",), arithmetic=arithmetic)  # type: ignore[arg-type]
        assert int(ran.states["u"]["a"].item()) >> 6 == expected
