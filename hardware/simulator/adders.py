"""Kernel S's programs: for each row of digits, which spike vectors are added up in which order.

A step takes up to seven bit vectors that are worth the same power of two and writes their number as three bit vectors, worth
one, two and four times as much (a 7:3 counter: four full adders). When two vectors are left per power, they are added with
the carry going from power to power. Nothing branches on the digits: no jump is mispredicted, however they are spread.

The number n of negative digits in a step counts as `all - n`, which is n with its bits inverted; `all`, 1, 3 or 7, goes to
the row's constant, which the sum exceeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numba import int64, uint32
from numpy.typing import NDArray

from filopodia.hardware.simulator.compiled import inlined, kernel
from filopodia.hardware.simulator.digits import Rows, digits

TAKEN = 7  # vectors per step
PART = 96  # digits from about which a row goes over its sources in parts: some 40 vectors, of 128 bytes
WIDE = 16  # words from one slot to the next
SLOTS = 1024  # vectors of scratch: a zero, the bit planes of a sum, one that nobody reads, the rest for what is added
PLANES = 24
UNREAD = PLANES + 1
TAG = 27  # bits of an operand below the number of its source: 0 is scratch, whose operands are slots
SOURCES = 15
INVERTED = 31  # the bit of an operand of a pair that asks for its inverse


@dataclass(frozen=True)
class Adders:
    """Rows of sums: `steps` [step, 8] are seven operands and where the outputs go, `starts[row]` is a row's first step.

    An operand is the number of its source times 2^TAG, plus the words from that source's base. Outputs are three slots of ten
    bits, and in the highest bit whether they are inverted. `pairs` [row, power, 2] are the operands left in the end. A sum
    exceeds what is meant by `constants[row]`.
    """

    steps: NDArray[np.uint32]
    starts: NDArray[np.int64]
    pairs: NDArray[np.uint32]
    constants: NDArray[np.int32]

    @property
    def planes(self) -> int:
        """Bits that the largest sum takes."""
        return int(self.pairs.shape[1])

    @cached_property
    def offset(self) -> int:
        """What the sums of all rows exceed together."""
        return int(self.constants.sum(dtype=np.int64))


def _push(carries: Any, filled: Any, power: Any, most: Any, free: Any) -> Any:
    """A slot for a bit vector worth 2^power, UNREAD where the sum does not need it, -1 where there is none left."""
    if power >= most:
        return int64(UNREAD)
    if free[0] == 0 or filled[power] == carries.shape[1]:
        return int64(-1)
    slot = int64(free[free[0]])
    free[0] -= 1
    carries[power, filled[power]] = slot
    filled[power] += 1
    return slot


push = inlined(_push)


def _take(heads: Any, ends: Any, taken: Any, k: Any, ops: Any, most: Any) -> Any:
    """Take digits of a sign from all sources until `most` are taken; return how many are."""
    for source in range(heads.shape[0]):
        while k < most and heads[source] < ends[source]:
            taken[k] = ops[heads[source]]
            heads[source] += 1
            k += 1
    return k


take = inlined(_take)


def _schedule(ops: Any, counts: Any, most: Any, steps: Any, pairs: Any, starts: Any, constants: Any) -> Any:
    """Write all rows' steps and pairs; with `steps` empty only count steps.

    A long row goes over its sources part by part, in each part from power to power: a vector is then still in the first cache
    when its next digit comes. Steps of all parts but the last are full.
    Returns the steps, the largest sum, and 0 instead of 1 where the slots did not do.
    """
    sources = counts.shape[2] // 2
    write = pairs.shape[1] > 0
    powers = int64(pairs.shape[1]) if write else int64(most)
    listed = min(powers, counts.shape[1])
    carries = np.empty((most + 3, SLOTS), np.int32)
    filled = np.empty(most + 3, np.int64)
    old = np.empty(most + 3, np.int64)
    free = np.empty(SLOTS, np.int32)
    taken = np.empty(TAKEN, np.uint32)
    begins = np.empty((counts.shape[1], 2, sources), np.int64)
    heads, ends = np.zeros((powers, 2, sources), np.int64), np.zeros((powers, 2, sources), np.int64)
    largest, step, first = int64(0), int64(0), int64(0)
    for row in range(counts.shape[0]):
        starts[row] = step
        filled[:] = old[:] = 0
        free[0] = SLOTS - UNREAD - 1
        for i in range(1, SLOTS - UNREAD):
            free[i] = SLOTS - i
        constant, positive, all_digits = int64(0), int64(0), -first
        for power in range(counts.shape[1]):
            for source in range(sources):
                for sign in range(2):
                    begins[power, sign, source] = first
                    first += counts[row, power, 2 * source + sign]
                positive += int64(counts[row, power, 2 * source]) << power
        heads[:listed] = begins[:listed]
        parts = (all_digits + first) // PART + 1
        for part in range(1, parts + 1):
            last = part == parts
            for power in range(powers):
                left = np.zeros(2, np.int64)
                for source in range(sources if power < listed else 0):
                    for sign in range(2):
                        count = int64(counts[row, power, 2 * source + sign])
                        ends[power, sign, source] = begins[power, sign, source] + count * part // parts
                        left[sign] += ends[power, sign, source] - heads[power, sign, source]
                while True:
                    waiting = left[0] + filled[power] - old[power]
                    negative = left[1] > (1 if last else TAKEN - 1)
                    if not negative and (waiting + left[1] <= 2 if last else waiting < TAKEN):
                        break
                    sign = 1 if negative else 0
                    k = take(heads[power, sign], ends[power, sign], taken, int64(0), ops, TAKEN)
                    left[sign] -= k
                    while not negative and k < TAKEN and old[power] < filled[power]:
                        slot = carries[power, old[power]]
                        taken[k] = uint32(slot * WIDE)
                        free[0] += 1
                        free[free[0]] = slot
                        old[power] += 1
                        k += 1
                    out = push(carries, filled, power, powers, free)
                    twos = push(carries, filled, power + 1, powers, free)
                    fours = push(carries, filled, power + 2, powers, free) if k > 3 else int64(UNREAD)
                    if out < 0 or twos < 0 or fours < 0:
                        return step, largest, 0
                    out |= twos << 10 | fours << 20
                    if negative:
                        constant += int64(3 if k < 4 else 7) << power
                        out |= int64(1) << 31
                    if write:
                        for i in range(TAKEN):
                            steps[step, i] = taken[i] if i < k else uint32(0)
                        steps[step, TAKEN] = uint32(out)
                    step += 1
                if last:
                    constant += left[1] << power
                if last and write:
                    k = take(heads[power, 1], ends[power, 1], taken, int64(0), ops, 2)
                    if k == 1:
                        taken[0] |= uint32(int64(1) << INVERTED)
                    k = take(heads[power, 0], ends[power, 0], taken, k, ops, 2)
                    while k < 2 and old[power] < filled[power]:
                        taken[k] = uint32(int64(carries[power, old[power]]) * WIDE)
                        old[power] += 1
                        k += 1
                    for i in range(2):
                        pairs[row, power, i] = taken[i] if i < k else uint32(0)
        constants[row] = constant
        largest = max(largest, positive + constant)
    starts[counts.shape[0]] = step
    return step, largest, 1


schedule = kernel(_schedule)


def build(sources: list[Rows], scales: list[tuple[int, int]], unit: int, most: int = PLANES) -> Adders | None:
    """Adders for the rows of several sources whose vectors are `unit` words long, for sums modulo 2^`most`.

    None where a row needs more than the slots there are, or there are too many sources.
    """
    if len(sources) > SOURCES:
        return None
    in_words = [(starts, vectors * unit, data) for starts, vectors, data in sources]
    ops, counts = digits(in_words, scales, [(i + 1) << TAG for i in range(len(sources))])
    starts, constants = np.empty(len(counts) + 1, np.int64), np.empty(len(counts), np.int64)
    none, unpaired = np.empty((0, TAKEN + 1), np.uint32), np.empty((len(counts), 0, 2), np.uint32)
    total, largest, fits = schedule(ops, counts, most, none, unpaired, starts, constants)
    if not fits:
        return None
    steps = np.empty((total, TAKEN + 1), np.uint32)
    pairs = np.empty((len(counts), max(1, min(most, int(largest).bit_length())), 2), np.uint32)
    total, _, _ = schedule(ops, counts, most, steps, pairs, starts, constants)
    return Adders(steps[:total], starts, pairs, constants.astype(np.int32))
