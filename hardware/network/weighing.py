"""The parts of the kernel that add up what arrives: lists of values that are not zero, and the rows of weights they add.

See `synapses` for the rows, and `transforms` for the order in which they add up.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import float64, int64, types, uint64
from numba.extending import intrinsic

from filopodia.hardware.network.table import BLOCK
from filopodia.hardware.simulator.simd import greater, loader, mask_bits, trailing_zeros

load_flags, ONE = loader(8, 64), (0,)  # 64 flags at a time
AHEAD = 2  # values ahead of which rows are fetched into the cache


def _fetch(_typing: Any, array: Any, _offset: Any) -> Any:
    """Tell the processor that the two cache lines from `array[offset]` on will be read."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        start = context.make_array(signature.args[0])(context, builder, args[0]).data
        line = builder.bitcast(builder.gep(start, [args[1]]), byte)
        hint = builder.module.declare_intrinsic("llvm.prefetch", [byte], ir.FunctionType(ir.VoidType(), [byte, *[number] * 3]))
        for address in (line, builder.gep(line, [ir.Constant(number, 64)])):
            builder.call(hint, [address, *(ir.Constant(number, n) for n in (0, 3, 1))])  # to read, keep close, data
        return context.get_dummy_value()

    return types.void(array, types.uint64), generate


fetch: Any = intrinsic(_fetch)

inlined = numba.njit(nogil=True, boundscheck=False, error_model="numpy")  # x / 0 is infinite, as in numpy


@inlined
def list_values(sent: Any, slot: Any, size: Any, lists: Any, flags: Any) -> int:
    """Write the places of a slot's values that are not zero, in order; return how many."""
    n = uint64(slot)
    for start in range(0, size, BLOCK):
        count = min(BLOCK, size - start)
        at = uint64(slot + start)
        for k in range(uint64(count)):
            flags[k] = sent[at + k] != 0.0
        for k in range(uint64(count), uint64((count + 63) // 64 * 64)):
            flags[k] = 0
        for i in range(0, count, 64):
            found = load_flags(flags, uint64(i), ONE)
            word = mask_bits(greater(found, found ^ found))
            while word != uint64(0):
                lists[n] = start + i + int64(trailing_zeros(word))
                n += uint64(1)
                word &= word - uint64(1)
    listed: int = int64(n) - slot
    return listed


@inlined
def by_place(weigh: Any, slot: Any, count: Any, lists: Any, channels: Any, ends: Any) -> None:
    """The channels of a slot's listed values, place after place: those of place p end at `ends[p]`."""
    if weigh.places == 1:
        for i in range(count):
            channels[i] = lists[slot + i]
        ends[0] = count
        return
    for p in range(weigh.places + 1):
        ends[p] = 0
    each = weigh.places if weigh.planar else weigh.channels
    row = 0  # channel of a planar source, else place
    for i in range(slot, slot + count):
        while lists[i] >= (row + 1) * each:
            row += 1
        ends[(lists[i] - row * each if weigh.planar else row) + 1] += 1
    for p in range(1, weigh.places):
        ends[p + 1] += ends[p]
    row = 0
    for i in range(slot, slot + count):  # counts `ends[p]`, where place p starts, up to where it ends
        while lists[i] >= (row + 1) * each:
            row += 1
        place, channel = (lists[i] - row * each, row) if weigh.planar else (row, lists[i] - row * each)
        channels[ends[place]] = channel
        ends[place] += 1


@inlined
def weigh_values(
    weigh: Any, slot: Any, wholes: Any, offsets: Any, weights: Any, sent: Any, channels: Any, ends: Any, sums: Any
) -> None:
    """Add the rows of a slot's values to the sums."""
    for k in range(weigh.sums):
        sums[uint64(k)] = 0.0
    event = 0
    for place in range(weigh.places):
        first = weigh.starts + wholes[weigh.first_row + place]
        base = uint64(wholes[weigh.base + place])
        stop = ends[place]
        while event < stop:
            channel, ahead = channels[event], channels[min(event + AHEAD, stop - 1)]
            at = channel * weigh.places + place if weigh.planar else place * weigh.channels + channel
            value = float64(sent[slot + at])
            begin, end = wholes[first + channel], wholes[first + channel + 1]
            entry, coming = uint64(weigh.entries + begin), wholes[first + ahead]
            of = uint64(weigh.weights + begin * weigh.stretch)
            fetch(offsets, uint64(weigh.entries + coming))
            fetch(weights, uint64(weigh.weights + coming * weigh.stretch))
            if not np.isfinite(value):  # zeros are no synapses, and must not make a number of what is none
                for i in range(uint64(end - begin)):
                    for k in range(uint64(weigh.stretch)):
                        weight = float64(weights[of + i * uint64(weigh.stretch) + k])
                        if weight != 0.0:
                            sums[base + uint64(offsets[entry + i]) + k] += weight * value
            elif weigh.stretch == 1:
                for k in range(uint64(0), uint64(end - begin), uint64(4)):  # TOGETHER
                    sums[base + uint64(offsets[entry + k])] += float64(weights[of + k]) * value
                    k1, k2, k3 = k + uint64(1), k + uint64(2), k + uint64(3)
                    sums[base + uint64(offsets[entry + k1])] += float64(weights[of + k1]) * value
                    sums[base + uint64(offsets[entry + k2])] += float64(weights[of + k2]) * value
                    sums[base + uint64(offsets[entry + k3])] += float64(weights[of + k3]) * value
            else:
                for i in range(uint64(end - begin)):
                    to = base + uint64(offsets[entry + i])
                    for k in range(uint64(weigh.stretch)):
                        sums[to + k] += float64(weights[of + k]) * value
                    of += uint64(weigh.stretch)
            event += 1


@inlined
def round_sums(weigh: Any, weights: Any, sums: Any, sent: Any, slot: Any) -> None:
    """Add the bias and round to the network's floats; a convolution's channels come first then."""
    if not weigh.planar:
        if weigh.biased:
            for k in range(uint64(weigh.size)):
                sums[k] += float64(weights[uint64(weigh.bias) + k])
        for k in range(uint64(weigh.size)):
            sent[uint64(slot) + k] = sums[k]
        return
    area = uint64(weigh.height * weigh.width)
    for y in range(weigh.height):
        for block in range(0, weigh.channels_out, 8):
            stop = min(block + 8, weigh.channels_out)
            for x in range(weigh.width):
                at = uint64(weigh.lead + y * weigh.row + x * weigh.channels_out)
                to = uint64(slot + y * weigh.width + x)
                for channel in range(uint64(block), uint64(stop)):
                    sent[to + channel * area] = sums[at + channel] + float64(weights[uint64(weigh.bias) + channel])
