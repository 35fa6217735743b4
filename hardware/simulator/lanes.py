"""Kernel S: all steps and samples of a tile at once, one bit per spike, cost proportional to the non-zero weights.

A tile is 8 steps of 8 * U samples. A neuron's spikes are one vector of U 64-bit words: byte b is sample b, bit t of it step t.
Of few samples a vector holds the next eight steps too, behind the first (`cut.Layout.span`); sums are the same work for all of
them, and the neuron update takes one part after the other.
A weight is a sum of signed powers of two, so a neuron's input is, per power, a number of spike vectors to be counted, all
lanes of a vector by the same few logic operations (adders.py). A sum comes as bit planes; three rounds of bit swaps turn
eight of them into bytes, and byte planes into the sums of eight steps, in the order in which the neuron update needs them.

The kernel's vectors hold W words. Where a neuron's vector is shorter, W = R * U serves R neighbours of a row at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import int8, int16, int32, int64, uint64

from filopodia.hardware.simulator.adders import ENDS, PLANES, SLOTS, TAG, TAKEN, UNREAD, WIDE
from filopodia.hardware.simulator.compiled import STAMP, inlined, kernel
from filopodia.hardware.simulator.neuron import decay, fade, hold, wrap
from filopodia.hardware.simulator.simd import caster, greater, loader, majority, select, splat, store
from filopodia.hardware.simulator.transpose import load, transpose

UNITS = (4, 8, WIDE)  # words per vector: 32, 64 or 128 samples to a tile
SCRATCH = (SLOTS + PLANES) * WIDE  # words per thread: slots, then the bytes that the bit planes become

FOUR = (0,) * 4  # what all units are whole numbers of
IN_TURN = 4  # places that a row serves one after the other: its steps are near, its branches foreseen

SETTING = np.dtype(
    [
        (name, np.int64)
        for name in (
            *("steps", "groups", "stride"),  # steps, groups of samples, vectors from one group's 8 steps to the next
            *("unit", "span"),  # words per vector, and how many times eight steps they are
            *("places", "planes"),  # places in all, planes per sum
            *("memoryless", "subtract", "biased"),
            "fraction",  # bits after the point of keep_v where `fade` serves, else 0
            "bounded",  # whether v cannot reach its bounds
            *("up", "down"),  # shifts of the sum
        )
    ],
    align=True,
)

load_bytes = loader(8, 8)
load_sums = loader(32, 8)
to_half, to_whole, widen = caster("zext", 16), caster("zext", 32), caster("sext", 32)


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
    scratch, slot = uint64(bases[uint64(0)]), uint64(1023)
    ones = flip ^ flip
    twos = ones
    for i in range(first, last):
        step = uint64(i)
        a, b = operand(words, steps, step, 0, bases, width), operand(words, steps, step, 1, bases, width)
        c, d = operand(words, steps, step, 2, bases, width), operand(words, steps, step, 3, bases, width)
        ones, twos, fours = add_four(ones, twos, a, b, c, d)
        out = uint64(steps[step, uint64(TAKEN)])
        store(words, scratch + (out & slot) * uint64(WIDE), fours)
        store(words, scratch + (out >> uint64(10) & slot) * uint64(WIDE), ones ^ flip)
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


def _run_simple(words: Any, numbers: Any, steps: Any, v: Any, neuron: Any, subtract: Any, bounded: Any, width: Any) -> Any:
    """Up to eight steps of neurons without a current of their own, from the bytes of 16 planes: v and spikes.

    `neuron` is what the sums exceed (16 bits), their scale, factor, fraction and `below_one` of `fade`, and the threshold.
    """
    above, scale, factor, fraction, below_one, fires = neuron
    w = uint64(WIDE)
    first = load_bytes(words, numbers, width)
    spikes = first ^ first
    for t in range(steps):
        at = numbers + uint64(t) * w
        low, high = to_half(load_bytes(words, at, width)), to_half(load_bytes(words, at + uint64(8) * w, width))
        a = widen((low | (high << splat(int16(8), low))) - above)
        v = fade(v, factor, fraction, below_one) + a * scale  # a product where a shift would do: other units of the processor
        if not bounded:
            v = hold(v)
        fired = greater(v, fires)
        v = select(fired, v - fires if subtract else v ^ v, v)
        spikes = spikes | select(fired, splat(int8(1 << t), spikes), first ^ first)
    return v, spikes


run_simple = inlined(_run_simple)


def _lanes_layer(
    words: Any,
    scratch: Any,
    program: Any,
    starts: Any,
    constants: Any,
    bases: Any,
    out_row: Any,
    out_place: Any,
    chosen: Any,
    keep_u: Any,
    keep_v: Any,
    bias: Any,
    threshold: Any,
    settings: Any,
    rows: Any,
    places: Any,
    width: Any,
    part: Any,
    _stamp: Any = STAMP,
) -> None:
    """Rows `rows[0]..rows[1]` at places `chosen[places[0]..places[1]]` of a layer: count, update, write spikes.

    `words` holds the vectors of the tile, scratch starts at word `scratch`, operands of a source at vector
    `bases[source, place]`; `program`, `starts` and `constants` are those of `adders.Adders`. `settings` holds one `SETTING`.
    """
    setting = settings[0]
    w, unit = uint64(WIDE), uint64(setting.unit)
    steps, stride, total = setting.steps, uint64(setting.stride), uint64(setting.planes)
    places_in_all = setting.places
    groups, span = setting.groups, setting.span
    chunks = (steps + 8 * span - 1) // (8 * span)
    memoryless, subtract, biased = setting.memoryless != 0, setting.subtract != 0, setting.biased != 0
    bounded, fades, rounds_down = setting.bounded != 0, setting.fraction != 0, setting.down != 0
    simple = memoryless and fades and not biased and not rounds_down and total == uint64(16)
    silence(words, uint64(scratch), width)
    planes, numbers = uint64(scratch) + w, uint64(scratch + SLOTS * WIDE)
    operands = np.empty(bases.shape[0] + 1, np.int64)
    operands[0] = scratch
    silent = load_bytes(words, uint64(scratch), part)
    like = to_whole(silent)
    up, down, fraction = splat(int32(setting.up), like), splat(int32(setting.down), like), splat(int32(setting.fraction), like)
    scale, below_one = splat(int32(1 << setting.up), like), splat(int32((1 << setting.fraction) - 1), like)
    none = splat(int32(0), like)
    for group in range(groups):
        for first in range(places[0], places[1], IN_TURN):
            for row in range(rows[0], rows[1]):
                constant = splat(int32(constants[row]), like)
                constant_half = splat(int16(constants[row]), to_half(silent))
                for index in range(first, min(first + IN_TURN, places[1])):
                    place = chosen[uint64(index)]
                    neuron = uint64(row * places_in_all + place)
                    factor_u = splat(int32(keep_u[neuron if keep_u.size > 1 else uint64(0)]), like)
                    factor_v = splat(int32(keep_v[neuron if keep_v.size > 1 else uint64(0)]), like)
                    offset = splat(int32(bias[neuron if bias.size > 1 else uint64(0)]), like)
                    fires = splat(int32(threshold[neuron if threshold.size > 1 else uint64(0)]), like)
                    u, v = none, none
                    for chunk in range(chunks):
                        moved = uint64(group * chunks + chunk) * stride
                        for source in range(bases.shape[0]):
                            at = (bases[source, place] + int64(moved)) * setting.unit
                            operands[source + 1] = at - ((source + 1) << TAG)
                        add_row(words, program, starts, row, operands, width)
                        transpose(words, planes, numbers, width)
                        transpose(words, planes + uint64(8) * w, numbers + uint64(8) * w, width)
                        if total > uint64(16):
                            transpose(words, planes + uint64(16) * w, numbers + uint64(16) * w, width)
                        for k in range(len(width) // len(part)):
                            if k > 0 and k % span == 0:  # the next place, whose steps are all in this vector
                                u, v = none, none
                            aside = uint64(k * len(part))
                            spikes = silent
                            here = min(8, steps - 8 * (chunk * span + k % span))
                            if simple:
                                values = (constant_half, scale, factor_v, fraction, below_one, fires)
                                v, spikes = run_simple(words, numbers + aside, here, v, values, subtract, bounded, part)
                                here = 0
                            for t in range(here):
                                at = numbers + aside + uint64(t) * w
                                low, high = load_bytes(words, at, part), load_bytes(words, at + uint64(8) * w, part)
                                if total > uint64(16):
                                    top = to_whole(load_bytes(words, at + uint64(16) * w, part))
                                    a = to_whole(low) | (to_whole(high) << splat(int32(8), like))
                                    a = a | (top << splat(int32(16), like))
                                    a = ((a - constant) << splat(int32(8), like)) >> splat(int32(8), like)
                                else:
                                    sums = to_half(low) | (to_half(high) << splat(int16(8), to_half(low)))
                                    a = widen(sums - constant_half)
                                a = a << up
                                if rounds_down:
                                    a = (a >> down) << splat(int32(6), like)
                                u = a if memoryless else wrap(decay(u, factor_u) + a)
                                v = fade(v, factor_v, fraction, below_one) if fades else decay(v, factor_v)
                                v = hold(v + u + offset)
                                fired = greater(v, fires)
                                v = select(fired, v - fires if subtract else none, v)
                                spikes = spikes | select(fired, splat(int8(1 << t), silent), silent)
                            store(words, numbers + aside, spikes)
                        for neighbour in range(len(width) // setting.unit):
                            target = (uint64(out_row[row]) + uint64(out_place[place + neighbour]) + moved) * unit
                            for word in range(0, setting.unit, 4):
                                found = load(words, numbers + uint64(neighbour * setting.unit + word), FOUR)
                                store(words, target + uint64(word), found)


def _lanes_count(
    words: Any,
    unit: Any,
    program: Any,
    starts: Any,
    planes: Any,
    first: Any,
    stride: Any,
    sums: Any,
    width: Any,
    _stamp: Any = STAMP,
) -> None:
    """Weighted spike counts: every row is added to `sums` [tiles of a group and a chunk, 8, 8 * U] int32.

    The node's vectors begin at vector `first`; scratch is at word 0.
    """
    w = uint64(WIDE)
    silence(words, uint64(0), width)
    numbers = uint64(SLOTS) * w
    operands = np.zeros(2, np.int64)
    for row in range(len(starts) // 2):
        for tile in range(sums.shape[0]):
            operands[1] = (first + tile * stride) * unit - (1 << TAG)
            add_row(words, program, starts, row, operands, width)
            for byte in range(0, planes, 8):
                transpose(words, uint64(byte + 1) * w, numbers + uint64(byte) * w, width)
            for t in range(8):
                at = numbers + uint64(t) * w
                where = uint64((8 * tile + t) * 8 * unit)
                total = load_sums(sums, where, width)
                for byte in range(0, planes, 8):
                    part = to_whole(load_bytes(words, at + uint64(byte) * w, width))
                    total = total + (part << splat(int32(byte), part))
                store(sums, where, total)


lanes_layer = kernel(_lanes_layer)
lanes_count = kernel(_lanes_count)
