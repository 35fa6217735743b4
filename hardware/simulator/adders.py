"""Kernel S's programs: for each row of digits, which spike vectors are added up in which order.

The kernel holds two bit vectors: what it has found so far of the digits worth one power of two, and of those worth the next.
A step adds four more vectors of that power (three full adders) and writes what is worth four of them, a carry for the power
after the next. When all of a power is in, the first vector is that bit of the sum, and the kernel moves on by one power.
Nothing branches on the digits: no jump is mispredicted, however they are spread.

A row's negative digits are summed up first. That sum's bits, inverted, are digits of the row's own sum like any other: m bits
of a sum n add 2^m - 1 - n, and 2^m - 1 goes to the row's constant, which the sum exceeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numba import int64, uint32
from numpy.typing import NDArray

from filopodia.hardware.simulator.compiled import kernel
from filopodia.hardware.simulator.digits import Rows, digits

TAKEN = 4  # vectors per step
AHEAD = 2  # powers from a step to its carry
WIDE = 16  # words from one slot to the next
PLANES = 24
NEGATIVE = PLANES  # slots from a bit plane of a sum to that of its negative part
UNREAD = 2 * PLANES + 1  # the slot that nobody reads; below it are a zero and the bit planes, behind it the carries
SLOT_BITS = 10
SLOTS = 1 << SLOT_BITS  # vectors of scratch
TAG = 27  # bits of an operand below the number of its source: 0 is scratch, whose operands are slots
SOURCES = 15
ENDS = 31  # the bit of a step's outputs that says that it is the last of its power


@dataclass(frozen=True)
class Adders:
    """Rows of sums of `planes` bits: `steps` [step, 5] are four operands and where the outputs go.

    The negative part of row r are the steps from `starts[2 * r]`, the row itself those from `starts[2 * r + 1]`. An operand is
    the number of its source times 2^TAG, plus the words from that source's base. Outputs are two slots of SLOT_BITS each,
    for the carry and for the bit plane, and ENDS. A sum exceeds what is meant by `constants[row]`.
    """

    steps: NDArray[np.uint32]
    starts: NDArray[np.int64]
    constants: NDArray[np.int32]
    planes: int

    @cached_property
    def offset(self) -> int:
        """What the sums of all rows exceed together."""
        return int(self.constants.sum(dtype=np.int64))


def _write(ops: Any, counts: Any, sizes: Any, negative: Any, ring: Any, steps: Any) -> None:
    """Write the steps of all rows; `sizes` [row, 2, power] says how many a power takes, `negative` a row's negative planes."""
    planes = sizes.shape[2]
    begins = np.zeros(planes, np.int64)
    digit = int64(0)  # where the row's digits begin
    step = int64(0)
    for row in range(counts.shape[0]):
        for part in range(2):
            first, at = step, digit
            for power in range(planes):
                begins[power] = step
                size = sizes[row, part, power]
                k = step * TAKEN
                for column in range(counts.shape[2] if power < counts.shape[1] else 0):
                    count = int64(counts[row, power, column])
                    if column % 2 != part:  # the first part takes the negative digits, which stand in odd columns
                        for i in range(count):  # there and back: what was read last is still near
                            steps[k // TAKEN, k % TAKEN] = ops[at + i if power % 2 else at + count - 1 - i]
                            k += 1
                    at += count
                if size == 0:
                    continue
                if part == 1 and power < negative[row]:
                    steps[k // TAKEN, k % TAKEN] = uint32((1 + NEGATIVE + power) * WIDE)
                    k += 1
                if power >= AHEAD:
                    for source in range(begins[power - AHEAD], begins[power - AHEAD + 1]):
                        steps[k // TAKEN, k % TAKEN] = uint32((UNREAD + 1 + (source - first) % ring) * WIDE)
                        k += 1
                plane = 1 + power + (NEGATIVE if part == 0 else 0)
                for i in range(step, step + size):
                    carry = UNREAD + 1 + (i - first) % ring if power + AHEAD < planes else UNREAD
                    steps[i, TAKEN] = uint32(carry | plane << SLOT_BITS)
                step += size
                steps[step - 1, TAKEN] |= uint32(int64(1) << ENDS)
        digit += counts[row].sum()


write = kernel(_write)


def _lengths(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bits that each number takes."""
    return np.frexp(values.astype(np.float64))[1].astype(np.int64)


def build(sources: list[Rows], scales: list[tuple[int, int]], unit: int, most: int = PLANES) -> Adders | None:
    """Adders for the rows of several sources whose vectors are `unit` words long, for sums modulo 2^`most`.

    None where a row needs more than the slots there are, or there are too many sources.
    """
    if len(sources) > SOURCES:
        return None
    in_words = [(starts, vectors * unit, data) for starts, vectors, data in sources]
    ops, counts = digits(in_words, scales, [(i + 1) << TAG for i in range(len(sources))])
    rows, powers = counts.shape[:2]
    by_sign = counts.reshape(rows, powers, len(sources), 2).sum(2, dtype=np.int64)
    sums = (by_sign << np.arange(powers)[:, None]).sum(1)
    negative = np.minimum(_lengths(sums[:, 1]), most)
    constants = (1 << negative) - 1
    planes = int(np.clip(_lengths(sums[:, 0] + constants).max(initial=1), 1, most))
    sizes = np.zeros((rows, 2, planes), np.int64)
    for power in range(planes):
        for part, sign in ((0, 1), (1, 0)):
            taken = sizes[:, part, power - AHEAD] if power >= AHEAD else np.zeros(rows, np.int64)
            taken = taken + (by_sign[:, power, sign] if power < powers else 0) + part * (power < negative)
            sizes[:, part, power] = np.maximum(1, -(-taken // TAKEN)) * ((power < negative) | part)
    padded = np.pad(sizes, ((0, 0), (0, 0), (AHEAD, 0)))
    ring = int(np.lib.stride_tricks.sliding_window_view(padded, AHEAD + 1, axis=2).sum(-1).max(initial=1))  # carries in use
    if ring >= SLOTS - UNREAD:
        return None
    starts = np.append(0, np.cumsum(sizes.sum(2).reshape(-1)))
    steps = np.zeros((int(starts[-1]), TAKEN + 1), np.uint32)
    write(ops, counts, sizes, negative, ring, steps)
    return Adders(steps, starts, constants.astype(np.int32), planes)
