"""Kernel S: all steps and samples of a tile at once, one bit per spike, cost proportional to the non-zero weights.

A tile is 8 steps of 8 * W samples. A neuron's spikes are one vector of W 64-bit words: byte b is sample b, bit t of it step t.
A weight is a sum of signed powers of two, so a neuron's input is, per power, a number of spike vectors to be counted; counting
512 lanes takes two logic operations per spike vector (a carry-save adder: sum and carry of three bits). Each vector
is kept twice, as it is and inverted, because -x = (1 - x) - 1: negative digits read the inverted one, and the ones are
subtracted at the end. The counts end as bit planes; three rounds of bit swaps turn eight of them into bytes, and
byte planes into the sums of eight steps, in the order in which the neuron update needs them.
"""

from __future__ import annotations

from typing import Any

from numba import int8, int16, int32, int64, uint64

from filopodia.hardware.simulator.compiled import STAMP, inlined, kernel
from filopodia.hardware.simulator.neuron import decay, hold, wrap
from filopodia.hardware.simulator.simd import caster, greater, loader, select, shift_right_logical, splat, store

PLANES = 32  # vectors of scratch for bit planes, of which 16 or 24 are used
NARROW, WIDE = 4, 8  # words per vector: 32 or 64 samples to a tile

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
    """Eight bit planes to the bytes of eight steps: byte b of plane t becomes the number whose bits were at (b, t)."""
    w = uint64(len(width))
    at = uint64(plane) * w
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


def _count_planes(
    words: Any,
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
    """One row: the bit planes of the sum over digits of 2^k * spike vector, `total` of them, at `planes`.

    Per power, `s` takes two vectors at a time, and what overflows goes to the list of carries for the next power (two lists in
    turn), which a zero fills up to an even number.
    """
    w = uint64(len(width))
    carry_in = planes + uint64(PLANES)
    carry_out = carry_in + carry_room
    digit_planes, sources = uint64(counts.shape[1]), uint64(counts.shape[2])
    zero = load(words, uint64(0), width)  # vector 0
    carries, last = uint64(0), uint64(0)
    plane = uint64(0)
    while plane < digit_planes or (carries > uint64(0) and plane < total):
        new = uint64(0)
        s = zero
        if plane < digit_planes:
            for source in range(sources):
                n = uint64(counts[row, plane, source])
                base = uint64(bases[source, place]) + chunk
                single = n & uint64(1)
                a = load(words, (base + uint64(ops[at])) * w * single, width)
                if source > uint64(0):
                    store(words, (carry_out + new) * w, s & a)
                    new += uint64(1)
                s = s ^ a
                at += single
                end = at + (n - single)
                while at < end:
                    a = load(words, (base + uint64(ops[at])) * w, width)
                    b = load(words, (base + uint64(ops[at + uint64(1)])) * w, width)
                    either = a ^ b
                    store(words, (carry_out + new) * w, (a & b) | (either & s))
                    s = either ^ s
                    new += uint64(1)
                    at += uint64(2)
        pair = uint64(0)
        while pair < carries:
            a = load(words, (carry_in + pair) * w, width)
            b = load(words, (carry_in + pair + uint64(1)) * w, width)
            either = a ^ b
            store(words, (carry_out + new) * w, (a & b) | (either & s))
            s = either ^ s
            new += uint64(1)
            pair += uint64(2)
        store(words, (planes + plane) * w, s)
        if plane >= digit_planes and last == uint64(1):
            new = uint64(0)  # a single carry and the zero beside it cannot overflow
        store(words, (carry_out + new) * w, zero)
        carries = new + (new & uint64(1))
        last = new
        plane += uint64(1)
        carry_in, carry_out = carry_out, carry_in
    while plane < total:
        store(words, (planes + plane) * w, zero)
        plane += uint64(1)


count_planes = inlined(_count_planes)


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
    keep_u: Any,
    keep_v: Any,
    bias: Any,
    threshold: Any,
    setting: Any,
    rows: Any,
    places: Any,
    width: Any,
    _stamp: Any = STAMP,
) -> None:
    """Rows `rows[0]..rows[1]` at places `places[0]..places[1]` of a layer: count, update, write spikes.

    `words` holds the vectors of the tile: vector 0 is zero, scratch starts at vector `scratch`, digit d of a source is vector
    `bases[source, place] + ops[d]`. `setting` is steps, stride from one chunk of 8 steps to the next, planes, places in all,
    room for carries, memoryless, leaks, subtract, shift up, shift down, groups of 8 * W samples, and
    whether v cannot reach its bounds.
    """
    w = uint64(len(width))
    steps, stride, total = setting[0], uint64(setting[1]), uint64(setting[2])
    places_in_all, carry_room = setting[3], uint64(setting[4])
    groups, chunks = setting[10], (steps + 7) // 8
    memoryless, leaks, subtract = setting[5] != 0, setting[6] != 0, setting[7] != 0
    bounded = setting[11] != 0
    planes = uint64(scratch)
    like = to_whole(load_bytes(words, uint64(0), width))
    up, down = splat(int32(setting[8]), like), splat(int32(setting[9]), like)
    rounds_down = setting[9] != 0
    silent = load_bytes(words, uint64(0), width)
    none = splat(int32(0), like)
    for group in range(groups):
        for place in range(places[0], places[1]):
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
                        words, planes, carry_room, ops, start, counts, uint64(row), bases, uint64(place), moved, total, width
                    )
                    transpose(words, planes, width)
                    transpose(words, planes + uint64(8), width)
                    if total > uint64(16):
                        transpose(words, planes + uint64(16), width)
                    spikes = silent
                    for t in range(min(8, steps - 8 * chunk)):
                        at = (planes + uint64(t)) * w
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
                        if leaks:
                            v = decay(v, factor_v)
                        v = v + u + offset
                        if not bounded:
                            v = hold(v)
                        fired = greater(v, fires)
                        v = select(fired, v - fires if subtract else none, v)
                        spikes = spikes | select(fired, splat(int8(1 << t), silent), silent)
                    target = (uint64(out_row[row]) + uint64(out_place[place]) + moved) * w
                    store(words, target, spikes)
                    lit = load(words, target, width)
                    store(words, target + w, lit ^ splat(int64(-1), lit))


def _lanes_count(
    words: Any,
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
                words, planes, uint64(carry_room), ops, start, counts, uint64(row), bases, uint64(0), moved, uint64(24), width
            )
            for byte in (0, 8, 16):
                transpose(words, planes + uint64(byte), width)
            for t in range(8):
                at = (planes + uint64(t)) * w
                low, high = load_bytes(words, at, width), load_bytes(words, at + uint64(8) * w, width)
                a, b = to_whole(low), to_whole(high)
                c = to_whole(load_bytes(words, at + uint64(16) * w, width))
                where = uint64(8 * tile + t) * uint64(8) * w
                total = a | (b << splat(int32(8), a)) | (c << splat(int32(16), a))
                store(sums, where, load_sums(sums, where, width) + total)


lanes_layer = kernel(_lanes_layer)
lanes_count = kernel(_lanes_count)
