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
from numba import int32, int64, uint64

from filopodia.hardware.simulator.add_rows import add_row, silence
from filopodia.hardware.simulator.adders import PLANES, SLOTS, TAG, WIDE
from filopodia.hardware.simulator.compiled import STAMP, kernel
from filopodia.hardware.simulator.lane_update import load_bytes, run, run_simple, to_whole
from filopodia.hardware.simulator.simd import loader, splat, store
from filopodia.hardware.simulator.transpose import load, transpose

UNITS = (4, 8, WIDE)  # words per vector: 32, 64 or 128 samples to a tile
SCRATCH = (SLOTS + PLANES) * WIDE  # words per thread: slots, then the bytes that the bit planes become

FOUR = (0,) * 4  # what all units are whole numbers of
IN_TURN = 4  # places that a row serves one after the other: its steps are near, its branches foreseen
CHUNKS_IN_TURN = 4  # times eight steps of a row, one after the other; then the next row: what all rows read stays near

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

load_whole = loader(32, 8)


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
    like = to_whole(load_bytes(words, uint64(scratch), part))
    up, down, fraction = splat(int32(setting.up), like), splat(int32(setting.down), like), splat(int32(setting.fraction), like)
    scale, below_one = splat(int32(1 << setting.up), like), splat(int32((1 << setting.fraction) - 1), like)
    none = splat(int32(0), like)
    shifts, kind, wide = (up, down), (memoryless, fades, rounds_down, subtract), total > uint64(16)
    lanes, turn = 8 * len(part), min(IN_TURN, places[1] - places[0])
    blocks = (chunks + CHUNKS_IN_TURN - 1) // CHUNKS_IN_TURN
    kept_v = np.empty((rows[1] - rows[0]) * turn * lanes if blocks > 1 else 1, np.int32)
    kept_u = np.empty(1 if memoryless else len(kept_v), np.int32)
    for group in range(groups):
        for piece in range((places[1] - places[0] + turn - 1) // turn * blocks):
            first, begin = places[0] + piece // blocks * turn, piece % blocks * CHUNKS_IN_TURN
            for row in range(rows[0], rows[1]):
                for index in range(first, min(first + turn, places[1])):
                    place = chosen[uint64(index)]
                    neuron = uint64(row * places_in_all + place)
                    factor_u = splat(int32(keep_u[neuron if keep_u.size > 1 else uint64(0)]), like)
                    factor_v = splat(int32(keep_v[neuron if keep_v.size > 1 else uint64(0)]), like)
                    offset = splat(int32(bias[neuron if bias.size > 1 else uint64(0)]), like)
                    fires = splat(int32(threshold[neuron if threshold.size > 1 else uint64(0)]), like)
                    fading = scale, factor_v, fraction, below_one, fires
                    values = factor_u, factor_v, fraction, below_one, offset, fires
                    state = uint64(((row - rows[0]) * turn + index - first) * lanes)
                    u, v = none, none
                    if begin > 0:
                        v = load_whole(kept_v, state, part)
                        if not memoryless:
                            u = load_whole(kept_u, state, part)
                    for chunk in range(begin, min(begin + CHUNKS_IN_TURN, chunks)):
                        moved = uint64(group * chunks + chunk) * stride
                        for source in range(bases.shape[0]):
                            base = (bases[source, place] + int64(moved)) * setting.unit
                            operands[source + 1] = base - ((source + 1) << TAG)
                        add_row(words, program, starts, row, operands, width)
                        transpose(words, planes, numbers, width)
                        transpose(words, planes + uint64(8) * w, numbers + uint64(8) * w, width)
                        if wide:
                            transpose(words, planes + uint64(16) * w, numbers + uint64(16) * w, width)
                        for k in range(len(width) // len(part)):
                            if k > 0 and k % span == 0:  # the next place, whose steps are all in this vector
                                u, v = none, none
                            here = min(8, steps - 8 * (chunk * span + k % span))
                            at = numbers + uint64(k * len(part))
                            if simple:
                                v, spikes = run_simple(words, at, here, v, constants[row], fading, subtract, bounded, part)
                            else:
                                u, v, spikes = run(words, at, here, u, v, constants[row], wide, shifts, values, kind, part)
                            store(words, at, spikes)
                        for neighbour in range(len(width) // setting.unit):
                            target = (uint64(out_row[row]) + uint64(out_place[place + neighbour]) + moved) * unit
                            for word in range(0, setting.unit, 4):
                                found = load(words, numbers + uint64(neighbour * setting.unit + word), FOUR)
                                store(words, target + uint64(word), found)
                    if begin + CHUNKS_IN_TURN < chunks:
                        store(kept_v, state, v)
                        if not memoryless:
                            store(kept_u, state, u)


def _lanes_count(
    words: Any,
    span: Any,
    program: Any,
    starts: Any,
    planes: Any,
    offset: Any,
    first: Any,
    stride: Any,
    events: Any,
    samples: Any,
    width: Any,
    _stamp: Any = STAMP,
) -> None:
    """Add weighted spike counts of a node, all rows together less `offset`, to `events` [T, N] int64, samples `samples[0]` on.

    The node's vectors begin at vector `first`; scratch is at word 0.
    """
    w, unit = uint64(WIDE), int64(len(width))
    steps, lanes = events.shape[0], 8 * unit // span  # samples per vector
    chunks = (steps + 8 * span - 1) // (8 * span)
    silence(words, uint64(0), width)
    numbers = uint64(SLOTS) * w
    operands = np.zeros(2, np.int64)
    sums = np.empty(8 * 8 * unit, np.int32)
    for tile in range((samples[1] - samples[0] + lanes - 1) // lanes * chunks):
        operands[1] = (first + tile * stride) * unit - (1 << TAG)
        sums[:] = 0
        for row in range(len(starts) // 2):
            add_row(words, program, starts, row, operands, width)
            for byte in range(0, planes, 8):
                transpose(words, uint64(byte + 1) * w, numbers + uint64(byte) * w, width)
            for t in range(8):
                at = numbers + uint64(t) * w
                where = uint64(t * 8 * unit)
                total = load_whole(sums, where, width)
                for byte in range(0, planes, 8):
                    part = to_whole(load_bytes(words, at + uint64(byte) * w, width))
                    total = total + (part << splat(int32(byte), part))
                store(sums, where, total)
        begin = samples[0] + tile // chunks * lanes
        for i in range(8 * span):
            step = tile % chunks * 8 * span + i
            for n in range(min(lanes, samples[1] - begin) if step < steps else 0):
                found = sums[uint64((i % 8) * 8 * unit + i // 8 * lanes + n)]
                events[uint64(step), uint64(begin + n)] += int64(found) - offset


lanes_layer = kernel(_lanes_layer)
lanes_count = kernel(_lanes_count)
