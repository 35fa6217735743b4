"""Kernel S: all steps and samples of a tile at once, one bit per spike, cost proportional to the non-zero weights.

A tile is 8 steps of 8 * U samples. A neuron's spikes are one vector of U 64-bit words: byte b is sample b, bit t of it step t.
A weight is a sum of signed powers of two, so a neuron's input is, per power, a number of spike vectors to be counted; counting
512 lanes takes two logic operations per spike vector (a carry-save adder: sum and carry of three bits). Each vector
is kept twice, as it is and inverted, because -x = (1 - x) - 1: negative digits read the inverted one, and the ones are
subtracted at the end. The counts end as bit planes; three rounds of bit swaps turn eight of them into bytes, and
byte planes into the sums of eight steps, in the order in which the neuron update needs them.

The processor's vectors hold W words. Where a neuron's vector is shorter, W = R * U serves R neighbours of a
row at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import int8, int16, int32, int64, uint64

from filopodia.hardware.simulator.compiled import STAMP, inlined, kernel
from filopodia.hardware.simulator.neuron import decay, fade, hold, wrap
from filopodia.hardware.simulator.simd import caster, greater, loader, select, shift_right_logical, splat, store

PLANES = 32  # vectors of scratch for bit planes, of which 16 or 24 are used
UNITS = (4, 8, 16)  # words per vector: 32, 64 or 128 samples to a tile
WIDE = UNITS[-1]  # words served at once where several neighbours can be

SETTING = np.dtype(
    [
        (name, np.int64)
        for name in (
            *("steps", "groups", "stride"),  # steps, groups of samples, vectors from one group's 8 steps to the next
            *("unit", "inverse"),  # words per vector; vectors from a neuron of the layer to its inverse
            *("places", "planes", "carries"),  # places in all, planes per sum, room for carries
            *("memoryless", "subtract", "biased"),
            "fraction",  # bits after the point of keep_v where `fade` serves, else 0
            "bounded",  # whether v cannot reach its bounds
            *("up", "down"),  # shifts of the sum
        )
    ],
    align=True,
)


def scratch(carries: int) -> int:
    """Words that a thread needs for planes and three lists of `carries` vectors."""
    return WIDE * (PLANES + 3 * carries)


load = loader(64, 1)
load_bytes = loader(8, 8)
load_sums = loader(32, 8)
to_half, to_whole, widen = caster("zext", 16), caster("zext", 32), caster("sext", 32)


def _swap(a: Any, b: Any, distance: Any, mask: Any) -> Any:
    """One step of the transposition of 8 x 8 bits: swap the bits of `mask` in `b` with those `distance` higher in `a`."""
    moved = (shift_right_logical(a, splat(int64(distance), a)) ^ b) & splat(int64(mask), a)
    return a ^ (moved << splat(int64(distance), a)), b ^ moved


swap = inlined(_swap)


def _transpose(words: Any, plane: Any, width: Any) -> None:
    """Eight bit planes, from word `plane` on, to the bytes of eight steps: byte b of plane t becomes the number whose bits were at (b, t)."""
    w = uint64(len(width))
    at = uint64(plane)
    a, e = swap(load(words, at, width), load(words, at + uint64(4) * w, width), 4, 0x0F0F0F0F0F0F0F0F)
    b, f = swap(load(words, at + uint64(1) * w, width), load(words, at + uint64(5) * w, width), 4, 0x0F0F0F0F0F0F0F0F)
    c, g = swap(load(words, at + uint64(2) * w, width), load(words, at + uint64(6) * w, width), 4, 0x0F0F0F0F0F0F0F0F)
    d, h = swap(load(words, at + uint64(3) * w, width), load(words, at + uint64(7) * w, width), 4, 0x0F0F0F0F0F0F0F0F)
    a, c = swap(a, c, 2, 0x3333333333333333)
    b, d = swap(b, d, 2, 0x3333333333333333)
    e, g = swap(e, g, 2, 0x3333333333333333)
    f, h = swap(f, h, 2, 0x3333333333333333)
    a, b = swap(a, b, 1, 0x5555555555555555)
    c, d = swap(c, d, 1, 0x5555555555555555)
    e, f = swap(e, f, 1, 0x5555555555555555)
    g, h = swap(g, h, 1, 0x5555555555555555)
    store(words, at, a)
    store(words, at + uint64(1) * w, b)
    store(words, at + uint64(2) * w, c)
    store(words, at + uint64(3) * w, d)
    store(words, at + uint64(4) * w, e)
    store(words, at + uint64(5) * w, f)
    store(words, at + uint64(6) * w, g)
    store(words, at + uint64(7) * w, h)


transpose = inlined(_transpose)


def _add_four(words: Any, ones: Any, twos: Any, a: Any, b: Any, c: Any, d: Any, out: Any, width: Any) -> Any:
    """Add the vectors at words a, b, c, d to the counts `ones` + 2 * `twos`; what overflows, worth 4, is stored at word `out`."""
    x, y = load(words, a, width), load(words, b, width)
    either = x ^ y
    first = (x & y) | (either & ones)
    ones = either ^ ones
    x, y = load(words, c, width), load(words, d, width)
    either = x ^ y
    second = (x & y) | (either & ones)
    ones = either ^ ones
    either = first ^ second
    store(words, out, (first & second) | (either & twos))
    return ones, either ^ twos


add_four = inlined(_add_four)


def _count_planes(
    words: Any,
    unit: Any,
    planes: Any,
    carry_room: Any,
    ops: Any,
    at: Any,
    counts: Any,
    row: Any,
    bases: Any,
    place: Any,
    chunk: Any,
    total: Any,
    width: Any,
) -> None:
    """One row: the bit planes of the sum over digits of 2^k * spike vector, `total` of them, from word `planes` on.

    Vectors are `unit` words apart; planes, then three lists of carries, lie W words apart: for this power, the next and the one
    after it, in turn. Vectors are counted four at a time; where fewer are left, word 0 stands in, which is zero.
    """
    w, one, four = uint64(len(width)), uint64(1), uint64(4)
    now = planes + uint64(PLANES) * w
    soon = now + carry_room * w
    late = soon + carry_room * w
    in_now, in_soon, in_late = uint64(0), uint64(0), uint64(0)
    digit_planes, sources = uint64(counts.shape[1]), uint64(counts.shape[2])
    zero = load(words, uint64(0), width)
    plane = uint64(0)
    while plane < digit_planes or (in_now + in_soon > uint64(0) and plane < total):
        seen = uint64(0)
        ones, twos = zero, zero
        if plane < digit_planes:
            for source in range(sources):
                left = uint64(counts[row, plane, source])
                base = uint64(bases[source, place]) + chunk
                while left >= four:
                    a, b = (base + uint64(ops[at])) * unit, (base + uint64(ops[at + one])) * unit
                    c, d = (base + uint64(ops[at + uint64(2)])) * unit, (base + uint64(ops[at + uint64(3)])) * unit
                    ones, twos = add_four(words, ones, twos, a, b, c, d, late + in_late * w, width)
                    at += four
                    left -= four
                    seen += four
                    in_late += one
                if left > uint64(0):
                    a = (base + uint64(ops[at])) * unit
                    b = (base + uint64(ops[at + one])) * unit * uint64(left > one)
                    c = (base + uint64(ops[at + uint64(2)])) * unit * uint64(left > uint64(2))
                    ones, twos = add_four(words, ones, twos, a, b, c, uint64(0), late + in_late * w, width)
                    at += left
                    seen += left
                    in_late += uint64(seen > uint64(3))
        a = now
        while in_now >= four:
            ones, twos = add_four(words, ones, twos, a, a + w, a + uint64(2) * w, a + uint64(3) * w, late + in_late * w, width)
            a += four * w
            in_now -= four
            seen += four
            in_late += one
        if in_now > uint64(0):
            b = (a + w) * uint64(in_now > one)
            c = (a + uint64(2) * w) * uint64(in_now > uint64(2))
            ones, twos = add_four(words, ones, twos, a, b, c, uint64(0), late + in_late * w, width)
            seen += in_now
            in_late += uint64(seen > uint64(3))
        store(words, planes + plane * w, ones)
        store(words, soon + in_soon * w, twos)
        in_soon += uint64(seen > one)
        plane += one
        now, soon, late = soon, late, now
        in_now, in_soon, in_late = in_soon, in_late, uint64(0)
    while plane < total:
        store(words, planes + plane * w, zero)
        plane += one


count_planes = inlined(_count_planes)


def _run_simple(words: Any, planes: Any, steps: Any, v: Any, neuron: Any, subtract: Any, bounded: Any, width: Any) -> Any:
    """Up to eight steps of neurons without a current of their own, from the bytes of 16 planes: v and spikes.

    `neuron` is what the sums exceed (16 bits), their scale, factor, fraction and `below_one` of `fade`, and the threshold.
    """
    above, scale, factor, fraction, below_one, fires = neuron
    w = uint64(len(width))
    first = load_bytes(words, planes, width)
    spikes = first ^ first
    for t in range(steps):
        at = planes + uint64(t) * w
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
    ops: Any,
    counts: Any,
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
    _stamp: Any = STAMP,
) -> None:
    """Rows `rows[0]..rows[1]` at places `chosen[places[0]..places[1]]` of a layer: count, update, write spikes.

    `words` holds the vectors of the tile: vector 0 is zero, scratch starts at word `scratch`, digit d of a source is vector
    `bases[source, place] + ops[d]`. `settings` holds one `SETTING`.
    """
    setting = settings[0]
    w, unit = uint64(len(width)), uint64(setting.unit)
    steps, stride, total = setting.steps, uint64(setting.stride), uint64(setting.planes)
    places_in_all, carry_room, inverse = setting.places, uint64(setting.carries), uint64(setting.inverse)
    groups, chunks = setting.groups, (steps + 7) // 8
    memoryless, subtract, biased = setting.memoryless != 0, setting.subtract != 0, setting.biased != 0
    bounded, fades, rounds_down = setting.bounded != 0, setting.fraction != 0, setting.down != 0
    simple = memoryless and fades and not biased and not rounds_down and total == uint64(16)
    planes = uint64(scratch)
    silent = load_bytes(words, uint64(0), width)
    like = to_whole(silent)
    up, down, fraction = splat(int32(setting.up), like), splat(int32(setting.down), like), splat(int32(setting.fraction), like)
    scale, below_one = splat(int32(1 << setting.up), like), splat(int32((1 << setting.fraction) - 1), like)
    none = splat(int32(0), like)
    for group in range(groups):
        for index in range(places[0], places[1]):
            place = chosen[uint64(index)]
            for row in range(rows[0], rows[1]):
                constant = splat(int32(constants[row]), like)
                constant_half = splat(int16(constants[row]), to_half(silent))
                neuron = uint64(row * places_in_all + place)
                factor_u = splat(int32(keep_u[neuron if keep_u.size > 1 else uint64(0)]), like)
                factor_v = splat(int32(keep_v[neuron if keep_v.size > 1 else uint64(0)]), like)
                offset = splat(int32(bias[neuron if bias.size > 1 else uint64(0)]), like)
                fires = splat(int32(threshold[neuron if threshold.size > 1 else uint64(0)]), like)
                u, v = none, none
                for chunk in range(chunks):
                    moved = uint64(group * chunks + chunk) * stride
                    start = uint64(starts[row])
                    count_planes(
                        words,
                        unit,
                        planes,
                        carry_room,
                        ops,
                        start,
                        counts,
                        uint64(row),
                        bases,
                        uint64(place),
                        moved,
                        total,
                        width,
                    )
                    transpose(words, planes, width)
                    transpose(words, planes + uint64(8) * w, width)
                    if total > uint64(16):
                        transpose(words, planes + uint64(16) * w, width)
                    spikes = silent
                    here = min(8, steps - 8 * chunk)
                    if simple:
                        values = (constant_half, scale, factor_v, fraction, below_one, fires)
                        v, spikes = run_simple(words, planes, here, v, values, subtract, bounded, width)
                        here = 0
                    for t in range(here):
                        at = planes + uint64(t) * w
                        low, high = load_bytes(words, at, width), load_bytes(words, at + uint64(8) * w, width)
                        if total > uint64(16):
                            top = to_whole(load_bytes(words, at + uint64(16) * w, width))
                            a = to_whole(low) | (to_whole(high) << splat(int32(8), like)) | (top << splat(int32(16), like))
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
                    target = (uint64(out_row[row]) + uint64(out_place[place]) + moved) * unit
                    store(words, target, spikes)
                    lit = load(words, target, width)
                    store(words, target + inverse * unit, lit ^ splat(int64(-1), lit))


def _lanes_count(
    words: Any,
    unit: Any,
    scratch: Any,
    carry_room: Any,
    ops: Any,
    counts: Any,
    starts: Any,
    bases: Any,
    stride: Any,
    sums: Any,
    width: Any,
    _stamp: Any = STAMP,
) -> None:
    """Weighted spike counts: every row (24 bits each) is added to `sums` [tiles of a group and a chunk, 8, 8 * W] int32."""
    w = uint64(len(width))
    planes = uint64(scratch)
    for row in range(len(starts)):
        for tile in range(sums.shape[0]):
            moved = uint64(tile) * uint64(stride)
            start = uint64(starts[row])
            count_planes(
                words,
                uint64(unit),
                planes,
                uint64(carry_room),
                ops,
                start,
                counts,
                uint64(row),
                bases,
                uint64(0),
                moved,
                uint64(24),
                width,
            )
            for byte in (0, 8, 16):
                transpose(words, planes + uint64(byte) * w, width)
            for t in range(8):
                at = planes + uint64(t) * w
                low, high = load_bytes(words, at, width), load_bytes(words, at + uint64(8) * w, width)
                a, b = to_whole(low), to_whole(high)
                c = to_whole(load_bytes(words, at + uint64(16) * w, width))
                where = uint64(8 * tile + t) * uint64(8) * w
                total = a | (b << splat(int32(8), a)) | (c << splat(int32(16), a))
                store(sums, where, load_sums(sums, where, width) + total)


lanes_layer = kernel(_lanes_layer)
lanes_count = kernel(_lanes_count)
