"""The kernel that runs a network in floats: one sample after the other, every operation in every step, spikes as lists.

Its arithmetic is that of `reference`, operation for operation, so that no bit differs. A weighted sum costs what arrives:
each value that is not zero adds its row of weights (`Synapses`), place after place and channel after channel, to sums in double
precision. Zeros, which change no sum, are left out; the order of what remains is the reference's. As a sample never meets
another, results cannot depend on how samples are shared out.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import float64, int64, types, uint64
from numba.extending import intrinsic

from filopodia.hardware.network.operations import (
    BLOCK,
    ENTER,
    NEURON,
    POOL,
    READ,
    RECORDED,
    RULES,
    SCALE,
    THRESHOLD,
    WEIGH,
    WRITE,
)
from filopodia.hardware.simulator.compiled import STAMP, kernel
from filopodia.hardware.simulator.simd import greater, loader, mask_bits, trailing_zeros

INTEGRATE, DIVIDE, ADD, KEEP = (RULES[name] for name in ("integrate", "divide", "add", "keep"))
CURRENT, SIGNAL = RECORDED["u"], RECORDED["signal"]
FRACTION, LEAK_PARTS, VOLTAGE_LIMIT = 64.0, 4096.0, 2.0**23 - 1  # as in `neurons`

# the numbers of kinds and rules are part of the kernel, which is cached: see `compiled.STAMP`
KNOWN = STAMP ^ zlib.crc32(Path(__file__).with_name("operations.py").read_bytes())

load_flags, ONE = loader(8, 64), (0,)  # 64 flags at a time

inlined = numba.njit(nogil=True, boundscheck=False, error_model="numpy")  # x / 0 is infinite, as in numpy


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


@inlined
def gather(operation: Any, slots: Any, sources: Any, sent: Any, start: Any, count: Any, x: Any) -> None:
    """Places `start` to `start + count` of the sum over the operation's sources."""
    for i in range(operation.first, operation.last):
        at = uint64(slots[sources[i]] + start)
        if i == operation.first:
            for k in range(count):
                x[uint64(k)] = sent[at + uint64(k)]
        else:
            for k in range(count):
                x[uint64(k)] += sent[at + uint64(k)]


@inlined
def update(neuron: Any, numbers: Any, start: Any, count: Any, x: Any, u: Any, v: Any) -> None:
    """Currents and voltages of places `start` to `start + count` after input `x`: `neurons.step` up to the threshold."""
    at = uint64(neuron.v + start)
    gain = uint64(neuron.gain + start * neuron.gain_each)
    leak = uint64(neuron.leak + start * neuron.leak_each)
    if neuron.cuba:
        here = uint64(neuron.u + start)
        kept = uint64(neuron.syn_keep + start * neuron.syn_keep_each)
        added = uint64(neuron.syn_gain + start * neuron.syn_gain_each)
        for k in range(uint64(count)):
            u[here + k] = u[here + k] * numbers[kept + k] + numbers[added + k] * x[k]
        for k in range(uint64(count)):
            x[k] = u[here + k]
    if neuron.rule == INTEGRATE:
        for k in range(uint64(count)):
            v[at + k] = v[at + k] + numbers[gain + k] * x[k]
    elif neuron.rule == DIVIDE:
        steps = uint64(neuron.steps + start * neuron.steps_each)
        for k in range(uint64(count)):
            v[at + k] = v[at + k] + (numbers[gain + k] * x[k] - (v[at + k] - numbers[leak + k])) / numbers[steps + k]
    elif neuron.rule == ADD:
        steps = uint64(neuron.steps + start * neuron.steps_each)
        for k in range(uint64(count)):
            v[at + k] = v[at + k] - (v[at + k] - numbers[leak + k]) / numbers[steps + k] + x[k]
    elif neuron.rule == KEEP:
        keep = uint64(neuron.keep + start * neuron.keep_each)
        for k in range(uint64(count)):
            v[at + k] = numbers[leak + k] + (v[at + k] - numbers[leak + k]) * numbers[keep + k] + numbers[gain + k] * x[k]
    else:
        keep = uint64(neuron.keep + start * neuron.keep_each)
        unit = FRACTION * neuron.unit
        for k in range(uint64(count)):
            left = np.trunc(float64(v[at + k]) * unit * float64(numbers[keep + k]) / LEAK_PARTS)
            arrived = np.rint(float64(x[k]) * float64(numbers[gain + k]) * neuron.unit) * FRACTION
            v[at + k] = min(max(left + arrived, -VOLTAGE_LIMIT), VOLTAGE_LIMIT) / unit


@inlined
def fire(neuron: Any, numbers: Any, start: Any, count: Any, v: Any, sent: Any, slot: Any) -> None:
    """What the neurons send, and their reset."""
    at, to = uint64(neuron.v + start), uint64(slot + start)
    if not neuron.spiking:
        for k in range(uint64(count)):
            sent[to + k] = v[at + k]
        return
    threshold = uint64(neuron.threshold + start * neuron.threshold_each)
    if neuron.at_threshold:
        for k in range(uint64(count)):
            sent[to + k] = 1.0 if v[at + k] >= numbers[threshold + k] else 0.0
    else:
        for k in range(uint64(count)):
            sent[to + k] = 1.0 if v[at + k] > numbers[threshold + k] else 0.0
    if neuron.subtract:
        for k in range(uint64(count)):
            old, less = v[at + k], v[at + k] - numbers[threshold + k]
            v[at + k] = less if sent[to + k] != 0.0 else old
    else:
        reset = uint64(neuron.v_reset + start * neuron.v_reset_each)
        for k in range(uint64(count)):
            old, again = v[at + k], numbers[reset + k]
            v[at + k] = again if sent[to + k] != 0.0 else old


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


@inlined
def pool(of: Any, source: Any, sent: Any, slot: Any, parts: Any) -> None:
    """Sums over windows, in the order of their places, in the network's floats; `parts` is what they are divided by."""
    for channel in range(of.channels):
        start = source + channel * of.height_in * of.width_in
        for y in range(of.height):
            for x in range(of.width):
                total = parts - parts
                for i in range(y * of.down - of.above, y * of.down - of.above + of.tall):
                    for j in range(x * of.right - of.before, x * of.right - of.before + of.wide):
                        if 0 <= i < of.height_in and 0 <= j < of.width_in:
                            total += sent[start + i * of.width_in + j]
                sent[slot + (channel * of.height + y) * of.width + x] = total / parts


@inlined
def repeats(operation: Any, sources: Any, same: Any) -> bool:
    """Whether an operation without a state has nothing but sources that send the same as in the step before."""
    if operation.kind == ENTER or operation.kind > WEIGH:
        return False
    unchanged = True
    for i in range(operation.first, operation.last):
        unchanged &= same[sources[i]]
    return unchanged


def _run(
    table: Any,
    records: Any,
    slots: Any,
    sources: Any,
    numbers: Any,
    wholes: Any,
    offsets: Any,
    weights: Any,
    start: Any,
    bits: Any,
    floats: Any,
    kept_bits: Any,
    kept_floats: Any,
    room: Any,
    sums: Any,
    lists: Any,
    flags: Any,
    places: Any,
    _stamp: Any = KNOWN,
) -> None:
    """Run samples whose inputs are `bits` and `floats` [T, N, values]; fill `kept_bits` and `kept_floats` [T, N, values].

    The rest is room: `room` holds the states and all values of a sample, one after the other.
    """
    sent, v, u, past, x = room
    channels, ends = places
    counts, same = np.zeros(len(slots), np.int64), np.zeros(len(slots), np.bool_)
    for n in range(bits.shape[1]):
        sent[:], u[:], past[:], v[:], counts[:] = 0, 0, 0, start, 0
        for t in range(bits.shape[0]):
            for o in range(len(table)):
                operation = table[o]
                kind, size, slot = operation.kind, operation.size, slots[operation.slot]
                same[operation.slot] = t > 0 and repeats(operation, sources, same)
                if same[operation.slot]:
                    continue
                if kind == ENTER:
                    at = uint64(operation.given)
                    if operation.binary:
                        for k in range(uint64(size)):
                            sent[uint64(slot) + k] = bits[t, n, at + k]
                    else:
                        changed = t == 0
                        for k in range(uint64(size)):
                            old, new = sent[uint64(slot) + k], floats[t, n, at + k]
                            changed |= (old != new) | (np.signbit(old) != np.signbit(new))
                            sent[uint64(slot) + k] = new
                        same[operation.slot] = not changed
                elif kind == WEIGH:
                    source = sources[operation.first]
                    by_place(operation, slots[source], counts[source], lists, channels, ends)
                    weigh_values(operation, slots[source], wholes, offsets, weights, sent, channels, ends, sums)
                    round_sums(operation, weights, sums, sent, slot)
                elif kind == POOL:
                    x[0] = operation.parts
                    pool(operation, slots[sources[operation.first]], sent, slot, x[0])
                elif kind == READ:
                    for k in range(size):
                        step = (t - wholes[operation.steps_back + k]) % operation.length
                        sent[slot + k] = past[operation.past + step * size + k]
                else:
                    for begin in range(0, size, BLOCK):
                        count = min(BLOCK, size - begin)
                        gather(operation, slots, sources, sent, begin, count, x)
                        if kind == NEURON:
                            update(operation, numbers, begin, count, x, u, v)
                            fire(operation, numbers, begin, count, v, sent, slot)
                        elif kind == SCALE:
                            at = uint64(operation.gain + begin * operation.gain_each)
                            for k in range(uint64(count)):
                                sent[uint64(slot + begin) + k] = x[k] * numbers[at + k]
                        elif kind == THRESHOLD:
                            at = uint64(operation.threshold + begin * operation.threshold_each)
                            for k in range(uint64(count)):
                                sent[uint64(slot + begin) + k] = 1.0 if x[k] > numbers[at + k] else 0.0
                        elif kind == WRITE:
                            at = uint64(operation.past + t % operation.length * size + begin)
                            for k in range(uint64(count)):
                                past[at + k] = x[k]
                        else:
                            for k in range(uint64(count)):
                                sent[uint64(slot + begin) + k] = x[k]
                if operation.silent and t == 0:
                    for k in range(size):
                        sent[slot + k] = 0
                if operation.listed:
                    counts[operation.slot] = list_values(sent, slot, size, lists, flags)
            for r in range(len(records)):
                record = records[r]
                values = sent if record.what == SIGNAL else u if record.what == CURRENT else v
                at, to = uint64(record.at), uint64(record.to)
                if record.binary:
                    for k in range(uint64(record.size)):
                        kept_bits[t, n, to + k] = values[at + k] != 0.0
                else:
                    for k in range(uint64(record.size)):
                        kept_floats[t, n, to + k] = values[at + k]


run = kernel(_run)
