"""The neuron update of kernel S, inlined into it: from the bytes of sums to spikes.

Byte b of plane t is a byte of the sum of sample b at step t; planes of higher bytes follow eight slots on.
"""

from __future__ import annotations

from typing import Any

from numba import int8, int16, int32, uint64

from filopodia.hardware.simulator.adders import WIDE
from filopodia.hardware.simulator.compiled import inlined
from filopodia.hardware.simulator.neuron import decay, fade, hold, wrap
from filopodia.hardware.simulator.simd import caster, greater, loader, select, splat

load_bytes = loader(8, 8)
to_half, to_whole, widen = caster("zext", 16), caster("zext", 32), caster("sext", 32)


def _sums(words: Any, at: Any, constant: Any, wide: Any, width: Any) -> Any:
    """A step's sums of 16 bits, of 24 where `wide`, less `constant`."""
    low, high = load_bytes(words, at, width), load_bytes(words, at + uint64(8 * WIDE), width)
    if wide:
        top = to_whole(load_bytes(words, at + uint64(16 * WIDE), width))
        eight = splat(int32(8), top)
        total = to_whole(low) | (to_whole(high) << eight) | (top << (eight + eight))
        return ((total - splat(int32(constant), top)) << eight) >> eight
    half = to_half(low) | (to_half(high) << splat(int16(8), to_half(low)))
    return widen(half - splat(int16(constant), half))


sums = inlined(_sums)


def _run_simple(
    words: Any, numbers: Any, steps: Any, v: Any, constant: Any, neuron: Any, subtract: Any, bounded: Any, width: Any
) -> Any:
    """Up to eight steps of neurons without a current of their own, from the bytes of 16 planes: v and spikes.

    `neuron` is the scale of the sums, factor, fraction and `below_one` of `fade`, and the threshold.
    """
    scale, factor, fraction, below_one, fires = neuron
    first = load_bytes(words, numbers, width)
    spikes = first ^ first
    for t in range(steps):
        a = sums(words, numbers + uint64(t * WIDE), constant, False, width)
        v = fade(v, factor, fraction, below_one) + a * scale  # a product where a shift would do: other units of the processor
        if not bounded:
            v = hold(v)
        fired = greater(v, fires)
        v = select(fired, v - fires if subtract else v ^ v, v)
        spikes = spikes | select(fired, splat(int8(1 << t), spikes), first ^ first)
    return v, spikes


run_simple = inlined(_run_simple)


def _run(
    words: Any,
    numbers: Any,
    steps: Any,
    u: Any,
    v: Any,
    constant: Any,
    wide: Any,
    shifts: Any,
    neuron: Any,
    kind: Any,
    width: Any,
) -> Any:
    """Up to eight steps of any neurons, from the bytes of 16 planes, of 24 where `wide`: u, v and spikes."""
    up, down = shifts
    factor_u, factor_v, fraction, below_one, offset, fires = neuron
    memoryless, fades, rounds_down, subtract = kind
    first = load_bytes(words, numbers, width)
    spikes = first ^ first
    for t in range(steps):
        a = sums(words, numbers + uint64(t * WIDE), constant, wide, width) << up
        if rounds_down:
            a = (a >> down) << splat(int32(6), a)
        u = a if memoryless else wrap(decay(u, factor_u) + a)
        v = fade(v, factor_v, fraction, below_one) if fades else decay(v, factor_v)
        v = hold(v + u + offset)
        fired = greater(v, fires)
        v = select(fired, v - fires if subtract else v ^ v, v)
        spikes = spikes | select(fired, splat(int8(1 << t), spikes), first ^ first)
    return u, v, spikes


run = inlined(_run)
