"""Running the programs of adders.py on whole vectors, inlined into kernel S."""

from __future__ import annotations

from typing import Any

from numba import int64, uint64

from filopodia.hardware.simulator.adders import ENDS, SLOT_BITS, SLOTS, TAG, TAKEN, UNREAD, WIDE
from filopodia.hardware.simulator.compiled import inlined
from filopodia.hardware.simulator.simd import majority, splat, store
from filopodia.hardware.simulator.transpose import load


def _operand(words: Any, steps: Any, step: Any, i: Any, bases: Any, width: Any) -> Any:
    operand = uint64(steps[step, uint64(i)])
    return load(words, uint64(bases[operand >> uint64(TAG)]) + operand, width)


operand = inlined(_operand)


def _full_add(a: Any, b: Any, c: Any) -> Any:
    """How many of three vectors' bits are set, lane by lane: the digits worth one and two."""
    return a ^ b ^ c, majority(a, b, c)


full_add = inlined(_full_add)


def _add_four(ones: Any, twos: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """`ones` and `twos` with four vectors worth one added, and what is worth four."""
    ones, two = full_add(a, b, ones)
    ones, another = full_add(c, d, ones)
    twos, fours = full_add(two, another, twos)
    return ones, twos, fours


add_four = inlined(_add_four)


def _add_up(words: Any, steps: Any, first: Any, last: Any, bases: Any, flip: Any, width: Any) -> None:
    """Run steps [first, last) of `adders.Adders`, planes inverted where `flip` is set.

    Operands of source i count from word `bases[i]` + i * 2^TAG, scratch being source 0.
    """
    scratch, slot = uint64(bases[uint64(0)]), uint64(SLOTS - 1)
    ones = flip ^ flip
    twos = ones
    for i in range(first, last):
        step = uint64(i)
        a, b = operand(words, steps, step, 0, bases, width), operand(words, steps, step, 1, bases, width)
        c, d = operand(words, steps, step, 2, bases, width), operand(words, steps, step, 3, bases, width)
        ones, twos, fours = add_four(ones, twos, a, b, c, d)
        out = uint64(steps[step, uint64(TAKEN)])
        store(words, scratch + (out & slot) * uint64(WIDE), fours)
        store(words, scratch + (out >> uint64(SLOT_BITS) & slot) * uint64(WIDE), ones ^ flip)
        ends = splat(-int64(out >> uint64(ENDS)), ones)  # then on to the next power
        stays = ends ^ splat(int64(-1), ones)
        ones, twos = (ends & twos) | (stays & ones), stays & twos


add_up = inlined(_add_up)


def _add_row(words: Any, steps: Any, starts: Any, row: Any, bases: Any, width: Any) -> None:
    """A row's sum into the bit planes from slot 1 on."""
    zero = load(words, uint64(bases[uint64(0)]), width)
    zero = zero ^ zero
    middle = starts[2 * row + 1]
    add_up(words, steps, starts[2 * row], middle, bases, splat(int64(-1), zero), width)
    add_up(words, steps, middle, starts[2 * row + 2], bases, zero, width)


add_row = inlined(_add_row)


def _silence(words: Any, scratch: Any, width: Any) -> None:
    """Make slot 0 and the bit planes zero: rows write only the planes that some row of theirs needs."""
    zero = load(words, scratch, width) ^ load(words, scratch, width)
    for slot in range(UNREAD):
        store(words, scratch + uint64(slot * WIDE), zero)


silence = inlined(_silence)
