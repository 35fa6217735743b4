"""The programs of kernel S, run step by step in numpy, against plain sums."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from filopodia.hardware.simulator import adders
from filopodia.hardware.simulator.adders import ENDS, SLOT_BITS, SLOTS, TAG, TAKEN, WIDE, Adders
from filopodia.hardware.simulator.digits import Rows

LANES = 2**64 - 1


def rows(weights: np.ndarray) -> Rows:
    targets, sources = np.nonzero(weights)
    return np.searchsorted(targets, np.arange(len(weights) + 1)).astype(np.int64), sources, weights[targets, sources]


def run(program: Adders, row: int, bits: list[np.ndarray]) -> np.ndarray:
    """The sums of a row on 64 lanes, from each source's words."""
    slots = [0] * SLOTS

    def operand(x: int) -> int:
        source, at = x >> TAG, x & (2**TAG - 1)
        return slots[at // WIDE] if source == 0 else int(bits[source - 1][at])

    for part in range(2):
        first, last = program.starts[2 * row + part : 2 * row + part + 2]
        ones, twos = np.zeros(64, np.int64), np.zeros(64, np.int64)
        for step in program.steps[first:last].tolist():
            ones += sum(np.array([operand(x) >> lane & 1 for lane in range(64)]) for x in step[:TAKEN])
            twos, ones = twos + ones // 2, ones % 2
            out = step[TAKEN]
            slots[out & SLOTS - 1] = sum(int(x) << lane for lane, x in enumerate(twos // 2))
            assert twos.max() < 4
            twos %= 2
            plane = sum(int(x) << lane for lane, x in enumerate(ones))
            slots[out >> SLOT_BITS & SLOTS - 1] = plane if part else plane ^ LANES
            if out >> ENDS:
                ones, twos = twos, np.zeros(64, np.int64)
    planes = slots[1 : 1 + program.planes]
    sums = np.array([sum((plane >> lane & 1) << i for i, plane in enumerate(planes)) for lane in range(64)], np.int64)
    return sums - program.constants[row]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    sizes=st.lists(st.sampled_from([1, 5, 40, 150]), min_size=1, max_size=3),
    density=st.sampled_from([0.02, 0.3, 1.0]),
    largest=st.sampled_from([1, 7, 255]),
)
def test_steps_add_up_the_weights(seed: int, sizes: list[int], density: float, largest: int) -> None:
    rng = np.random.default_rng(seed)
    weights = [rng.integers(-largest, largest + 1, (3, size)) * (rng.random((3, size)) < density) for size in sizes]
    bits = [rng.integers(0, 2**64, size, dtype=np.uint64) for size in sizes]
    program = adders.build([rows(w) for w in weights], [(0, 0)] * len(sizes), 1)
    assert program is not None
    for row in range(3):
        expected = np.zeros(64, np.int64)
        for w, words in zip(weights, bits, strict=True):
            expected += w[row] @ (words[:, None] >> np.arange(64, dtype=np.uint64) & np.uint64(1)).astype(np.int64)
        np.testing.assert_array_equal(run(program, row, bits), expected)


def test_too_many_sources_or_digits_are_left_to_the_other_kernel() -> None:
    one = rows(np.ones((1, 1), np.int64))
    assert adders.build([one] * 16, [(0, 0)] * 16, 1) is None
    assert adders.build([rows(np.full((1, 60_000), 85))], [(0, 0)], 1) is None
