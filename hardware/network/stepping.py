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

import numpy as np
from numba import float64, uint64

from filopodia.hardware.network.neurons import FRACTION, LEAK_PARTS, VOLTAGE_LIMIT
from filopodia.hardware.network.table import (
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
from filopodia.hardware.network.weighing import by_place, inlined, list_values, round_sums, weigh_values
from filopodia.hardware.simulator.compiled import STAMP, kernel

INTEGRATE, DIVIDE, ADD, KEEP = (RULES[name] for name in ("integrate", "divide", "add", "keep"))
CURRENT, SIGNAL = RECORDED["u"], RECORDED["signal"]

# these files are part of the kernel, which is cached: see `compiled.STAMP`
PARTS = ("neurons.py", "table.py", "weighing.py")
KNOWN = STAMP ^ zlib.crc32(b"".join(Path(__file__).with_name(name).read_bytes() for name in PARTS))


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
