"""Kernel G: one sample after the other, spikes as lists, cost proportional to the spikes.

A layer's spikes of one step are bits, place after place, channels last, each place padded to whole 64-bit words. For
each block of target channels the dense weight rows of the arriving spikes are added up in registers.

Rows hold one byte per weight, two to a 16-bit lane: the upper byte h signed, the lower byte l raised by 128. Adding the lanes
gives A = sum(l) + 256 * sum(h), adding the lanes shifted right by 8 gives B = sum(h); so sum(h) = B and
sum(l) = A - 256 * B, exact modulo 2^16: three operations for 64 weights. Layers with sums past 16 bits, weights past 8 bits,
graded messages or grouped convolutions take the wide way: int16 weights times messages added in int32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import int16, int32, int64, uint64

from filopodia.hardware.simulator.compiled import STAMP, inlined, kernel
from filopodia.hardware.simulator.neuron import decay, fade, hold, wrap
from filopodia.hardware.simulator.simd import (
    caster,
    greater,
    loader,
    mask_bits,
    ones,
    select,
    splat,
    store,
    trailing_zeros,
)

# A node's bits: `cum` words of earlier nodes per (sample, step), then [sample][step][place][word].
LAYER = np.dtype(
    [
        (name, np.int64)
        for name in (
            *("cum", "places", "channels", "words"),  # where its spikes go
            *("first", "last"),  # its connections
            *("wide", "block"),  # the wide way, or channels per block
            "state",  # where its u and v start
            *("keep_u", "keep_v", "bias", "threshold"),  # where its parameters start
            *("keep_u_each", "keep_v_each", "bias_each", "threshold_each"),  # 1 when there is one per neuron
            *("memoryless", "biased", "subtract"),
            "fraction",  # bits after the point of keep_v where `fade` serves, else 0
            "record",  # where its recorded states start, per (sample, step)
        )
    ],
    align=True,
)
CONNECTION = np.dtype(
    [
        (name, np.int64)
        for name in (
            *("cum", "places", "channels", "words"),  # where its messages come from
            "lag",
            "conv",  # 1 for a convolution
            "weight",  # where its weights start
            "block_stride",  # from one block of target channels to the next
            "place_stride",  # from one target place to the next (not a convolution)
            "row_stride",  # from one source channel to the next, in the wide way
            "tap_stride",  # from one tap of the kernel to the next
            "taps",  # where the list of taps per target place starts
            *("group_in", "group_out"),  # channels per group
            "shift",
            "clamp",  # 1 when the sum keeps 24 bits
            "fan",  # where the fan-outs of its source start
            "values",  # where graded messages start, -1 for binary ones
            *("list", "starts"),  # room for the list of spikes
        )
    ],
    align=True,
)

BLOCKS = (64, 128, 256, 512)
ONE, TWO, FOUR, EIGHT = (0,), (0,) * 2, (0,) * 4, (0,) * 8

load_pairs = loader(16, 32)
load_sums = loader(32, 32)
load_part = loader(32, 16)
widen = caster("sext", 32)


def _add_rows(
    weights: Any, base: Any, active: Any, segments: Any, count: Any, shift: Any, sums: Any, alone: Any, width: Any
) -> None:
    """Add the rows of the spikes listed in `segments` [count, (start, end, base)], shifted, to `sums` int32.

    Where the connection is `alone`, `sums` may hold anything before.
    """
    block = uint64(64 * len(width))
    first = load_pairs(weights, base, width)
    a = first ^ first
    b = a
    eight = splat(int16(8), a)
    listed = 0
    for segment in range(count):
        at = base + uint64(segments[segment, 2])
        begin, end = uint64(segments[segment, 0]), uint64(segments[segment, 1])
        listed += int64(end - begin)
        i = begin
        while i < end:
            row = load_pairs(weights, at + uint64(active[i]) * block, width)
            a = a + row
            b = b + (row >> eight)
            i += uint64(1)
    half = uint64(32 * len(width))
    low, high = widen(a - (b << eight) - splat(int16(128 * listed), a)), widen(b)
    if shift >= 0:
        low, high = low << splat(int32(shift), low), high << splat(int32(shift), low)
    else:
        low, high = low >> splat(int32(-shift), low), high >> splat(int32(-shift), low)
    if not alone:
        low, high = low + load_sums(sums, uint64(0), width), high + load_sums(sums, half, width)
    store(sums, uint64(0), low)
    store(sums, half, high)


add_rows = inlined(_add_rows)


def _list_spikes(connection: Any, bits: Any, at: Any, active: Any, starts: Any, fan: Any) -> Any:
    """Write the places' lists of active channels (of a convolution) or neurons; return the synapses they reach."""
    n = uint64(connection.list)
    reached = int64(0)
    each_place = connection.conv != 0
    row = uint64(connection.fan)
    for place in range(connection.places):
        starts[connection.starts + place] = n
        neuron = uint64(0) if each_place else uint64(place * connection.channels)
        for k in range(connection.words):
            word = bits[at + uint64(place * connection.words + k)]
            while word != uint64(0):
                channel = uint64(64 * k) + trailing_zeros(word)
                active[n] = neuron + channel
                reached += fan[row + channel]
                n += uint64(1)
                word &= word - uint64(1)
        row += uint64(connection.channels)
    starts[connection.starts + connection.places] = n
    return reached


list_spikes = inlined(_list_spikes)


def _find_segments(connection: Any, place: Any, starts: Any, tap_starts: Any, taps: Any, segments: Any) -> Any:
    """Which parts of the lists reach a target place: [count, (start, end, where weights start, number of its first neuron)]."""
    if connection.conv == 0:
        segments[0, 0] = starts[connection.starts]
        segments[0, 1] = starts[connection.starts + connection.places]
        segments[0, 2] = place * connection.place_stride
        segments[0, 3] = 0
        return 1
    count = 0
    for k in range(tap_starts[connection.taps + place], tap_starts[connection.taps + place + 1]):
        source = taps[k, 0]
        begin, end = starts[connection.starts + source], starts[connection.starts + source + 1]
        if begin < end:
            segments[count, 0] = begin
            segments[count, 1] = end
            segments[count, 2] = taps[k, 1] * connection.tap_stride
            segments[count, 3] = source * connection.channels
            count += 1
    return count


find_segments = inlined(_find_segments)


def _add_wide(
    connection: Any,
    weights: Any,
    values: Any,
    sent: Any,
    active: Any,
    segments: Any,
    count: Any,
    sums: Any,
    part: Any,
    channels: Any,
) -> None:
    """The wide way: the shifted (and for convolutions clamped) sum of one connection, added to `sums` int32.

    `sent` is where the step's graded messages start in `values`.
    """
    for k in range(channels):
        part[uint64(k)] = int32(0)
    reach = uint64(connection.group_out)
    for segment in range(count):
        at = uint64(connection.weight) + uint64(segments[segment, 2])
        for i in range(segments[segment, 0], segments[segment, 1]):
            row = uint64(active[uint64(i)])
            message = int32(1)
            if connection.values >= 0:
                message = values[uint64(sent) + uint64(segments[segment, 3]) + row]
            first = row // uint64(connection.group_in) * reach
            where = at + row * uint64(connection.row_stride)
            for k in range(reach):
                part[first + uint64(k)] += message * int32(weights[where + uint64(k)])
    for k in range(channels):
        total = part[uint64(k)]
        total = int32(int64(total) << connection.shift) if connection.shift >= 0 else int32(total >> int32(-connection.shift))
        if connection.clamp != 0:
            total = int32((int64(total) + 2**23) % 2**24 - 2**23)
        sums[uint64(k)] += total


add_wide = inlined(_add_wide)


def _update(
    layer: Any,
    params: Any,
    u_state: Any,
    v_state: Any,
    sums: Any,
    place: Any,
    first: Any,
    channels: Any,
    bits: Any,
    out: Any,
    rec_u: Any,
    rec_v: Any,
    rec: Any,
) -> Any:
    """Update `channels` neurons of a place from `sums`, write spikes and recorded states, return how many fired."""
    fired_in_all = int64(0)
    begin = place * layer.words * 64 + first
    words = out + place * layer.words + first // 64
    like = load_part(sums, uint64(0), FOUR)
    memoryless, fraction, subtract, biased = layer.memoryless != 0, layer.fraction, layer.subtract != 0, layer.biased != 0
    state, channels_in_all = layer.state, layer.channels
    keep_u_each, keep_v_each = layer.keep_u_each != 0, layer.keep_v_each != 0
    bias_each, threshold_each = layer.bias_each != 0, layer.threshold_each != 0
    keep_u_at, keep_v_at, bias_at, threshold_at = layer.keep_u, layer.keep_v, layer.bias, layer.threshold
    keep_u, keep_v = splat(params[uint64(keep_u_at)], like), splat(params[uint64(keep_v_at)], like)
    bias, threshold = splat(params[uint64(bias_at)], like), splat(params[uint64(threshold_at)], like)
    after_point, below_one = splat(int32(fraction), like), splat(int32((1 << fraction) - 1), like)
    for i in range(0, channels, 64):
        neuron = uint64(begin + i)
        where = uint64(state) + neuron
        u = load_part(sums, uint64(i), FOUR) << splat(int32(6), like)
        if not memoryless:
            if keep_u_each:
                keep_u = load_part(params, uint64(keep_u_at) + neuron, FOUR)
            u = wrap(decay(load_part(u_state, where, FOUR), keep_u) + u)
            store(u_state, where, u)
        v = load_part(v_state, where, FOUR)
        if keep_v_each:
            keep_v = load_part(params, uint64(keep_v_at) + neuron, FOUR)
        v = (fade(v, keep_v, after_point, below_one) if fraction != 0 else decay(v, keep_v)) + u
        if bias_each:
            bias = load_part(params, uint64(bias_at) + neuron, FOUR)
        if biased:
            v = v + bias
        v = hold(v)
        if threshold_each:
            threshold = load_part(params, uint64(threshold_at) + neuron, FOUR)
        fired = greater(v, threshold)
        v = select(fired, v - threshold if subtract else like ^ like, v)
        store(v_state, where, v)
        if rec_u.size > 0:
            store(rec_u, uint64(rec) + neuron, u)
        if rec_v.size > 0:
            store(rec_v, uint64(rec) + neuron, v)
        word = mask_bits(fired)
        left = channels_in_all - first - i
        if left < 64:
            word &= (uint64(1) << uint64(left)) - uint64(1)
        bits[uint64(words + i // 64)] = word
        fired_in_all += ones(word)
    return fired_in_all


update = inlined(_update)


def _gather(
    layers: Any,
    connections: Any,
    stages: Any,
    samples: Any,
    tile: Any,
    steps: Any,
    bits: Any,
    narrow: Any,
    wide: Any,
    tap_starts: Any,
    taps: Any,
    params: Any,
    fan: Any,
    values: Any,
    active: Any,
    starts: Any,
    segments: Any,
    u_state: Any,
    v_state: Any,
    sums: Any,
    part: Any,
    spikes: Any,
    synops: Any,
    rec_u: Any,
    rec_v: Any,
    _stamp: Any = STAMP,
) -> None:
    """Run `stages` [s, (first layer, last layer)] for samples `samples[0]..samples[1]` of a tile of `tile` samples.

    The layers of a stage go step by step together (there is a loop among them); a stage of one layer runs all its steps
    in a row.
    """
    for n in range(samples[0], samples[1]):
        for stage in range(stages.shape[0]):
            for number in range(stages[stage, 0], stages[stage, 1]):
                layer = layers[number]
                for i in range(layer.state, layer.state + layer.places * layer.words * 64):
                    u_state[uint64(i)] = int32(0)
                    v_state[uint64(i)] = int32(0)
            for t in range(steps):
                for number in range(stages[stage, 0], stages[stage, 1]):
                    layer = layers[number]
                    reached = int64(0)
                    for c in range(layer.first, layer.last):
                        connection = connections[c]
                        if t >= connection.lag:
                            moment = n * steps + t - connection.lag
                            at = connection.cum * tile * steps + moment * connection.places * connection.words
                            reached += list_spikes(connection, bits, uint64(at), active, starts, fan)
                    fired = int64(0)
                    alone = layer.wide == 0 and layer.last == layer.first + 1 and t >= connections[layer.first].lag
                    padded = layer.words * 64
                    out = layer.cum * tile * steps + (n * steps + t) * layer.places * layer.words
                    rec = layer.record * tile * steps + (n * steps + t) * layer.places * padded
                    for place in range(layer.places):
                        for first in range(0, padded, layer.block):
                            channels = min(layer.block, padded - first)
                            if not alone:
                                for k in range(layer.block):
                                    sums[uint64(k)] = int32(0)
                            for c in range(layer.first, layer.last):
                                connection = connections[c]
                                if t < connection.lag:
                                    continue
                                count = find_segments(connection, place, starts, tap_starts, taps, segments)
                                if layer.wide != 0:
                                    moment = n * steps + t - connection.lag
                                    size = connection.places * connection.channels
                                    sent = connection.values * tile * steps + moment * size
                                    add_wide(connection, wide, values, sent, active, segments, count, sums, part, channels)
                                    continue
                                base = uint64(connection.weight + first // layer.block * connection.block_stride)
                                if layer.block == 512:
                                    add_rows(narrow, base, active, segments, count, connection.shift, sums, alone, EIGHT)
                                elif layer.block == 256:
                                    add_rows(narrow, base, active, segments, count, connection.shift, sums, alone, FOUR)
                                elif layer.block == 128:
                                    add_rows(narrow, base, active, segments, count, connection.shift, sums, alone, TWO)
                                else:
                                    add_rows(narrow, base, active, segments, count, connection.shift, sums, alone, ONE)
                            fired += update(
                                layer, params, u_state, v_state, sums, place, first, channels, bits, out, rec_u, rec_v, rec
                            )
                    spikes[number, t, n] = fired
                    synops[number, t, n] = reached


gather = kernel(_gather)
