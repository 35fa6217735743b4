"""Kernel G: one sample after the other, spikes as lists, cost proportional to the spikes.

A layer's spikes of one step are bits, place after place, channels last, each place padded to whole 64-bit words. For
each block of target channels the dense weight rows of the arriving spikes are added up in registers (gather_rows.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import int32, int64, uint64

from filopodia.hardware.simulator.compiled import STAMP, inlined, kernel
from filopodia.hardware.simulator.gather_rows import add_rows, add_wide, find_segments, list_spikes
from filopodia.hardware.simulator.neuron import decay, fade, hold, wrap
from filopodia.hardware.simulator.simd import greater, loader, mask_bits, ones, select, splat, store

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

load_part = loader(32, 16)


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
