"""Between a user's arrays, kernel G's bits and kernel S's vectors.

Bits: per (sample, step) a node's places in turn, channels last, padded to 64-bit words (gather.py).
Vectors: per neuron 8 * W bytes, byte b for sample b, bit t for step t of eight, each followed by its inverse (lanes.py).
"""

from __future__ import annotations

from typing import Any

from numba import int64, uint8, uint64

from filopodia.hardware.simulator.compiled import inlined, kernel
from filopodia.hardware.simulator.simd import greater, loader, mask_bits, ones, trailing_zeros

WORD = (0,)
load_bytes = loader(8, 64)


def _pack(x: Any, samples: Any, steps: Any, places: Any, channels: Any, words: Any, at: Any, bits: Any, sums: Any) -> None:
    """Spikes x uint8 [T, N, size] of samples `samples[0]..samples[1]` to bits; `sums` [T, n] counts them."""
    some = load_bytes(bits, uint64(0), WORD)
    none = some ^ some
    flat = x.reshape(-1)
    size = uint64(places * channels)
    for n in range(samples[1] - samples[0]):
        for t in range(steps):
            out = uint64(at + (n * steps + t) * places * words)
            begin = uint64(t * x.shape[1] + samples[0] + n) * size
            count = int64(0)
            if places == 1:
                for k in range(words):
                    first = begin + uint64(64 * k)
                    if 64 * (k + 1) <= channels:
                        word = mask_bits(greater(load_bytes(flat, first, WORD), none))
                    else:
                        word = uint64(0)
                        for c in range(channels - 64 * k):
                            word |= uint64(flat[first + uint64(c)] != 0) << uint64(c)
                    bits[out + uint64(k)] = word
                    count += ones(word)
            else:
                for place in range(places):
                    for k in range(words):
                        word = uint64(0)
                        for c in range(64 * k, min(64 * k + 64, channels)):
                            word |= uint64(flat[begin + uint64(c * places + place)] != 0) << uint64(c - 64 * k)
                        bits[out + uint64(place * words + k)] = word
                        count += ones(word)
            sums[t, n] = count


def _unpack(bits: Any, at: Any, samples: Any, steps: Any, places: Any, channels: Any, words: Any, x: Any) -> None:
    """Bits to spikes x uint8 [T, N, size] for samples `samples[0]..samples[1]`."""
    flat = x.reshape(-1)
    size = uint64(places * channels)
    for n in range(samples[1] - samples[0]):
        for t in range(steps):
            source = uint64(at + (n * steps + t) * places * words)
            begin = uint64(t * x.shape[1] + samples[0] + n) * size
            for place in range(places):
                for k in range(words):
                    word = bits[source + uint64(place * words + k)]
                    for c in range(64 * k, min(64 * k + 64, channels)):
                        flat[begin + uint64(c * places + place)] = uint8((word >> uint64(c - 64 * k)) & uint64(1))


def _add_rates(bits: Any, at: Any, samples: Any, steps: Any, places: Any, channels: Any, words: Any, rates: Any) -> None:
    """Spikes summed over time, into rates int32 [N, size]."""
    for n in range(samples[1] - samples[0]):
        for t in range(steps):
            source = uint64(at + (n * steps + t) * places * words)
            for place in range(places):
                for k in range(words):
                    word = bits[source + uint64(place * words + k)]
                    for c in range(64 * k, min(64 * k + 64, channels)):
                        rates[samples[0] + n, c * places + place] += (word >> uint64(c - 64 * k)) & uint64(1)


def _weigh(
    bits: Any, at: Any, samples: Any, steps: Any, places: Any, channels: Any, words: Any, weight: Any, sums: Any
) -> None:
    """For each step and sample the sum of `weight` [size, place after place] over the spikes, into sums [T, N]."""
    for n in range(samples[1] - samples[0]):
        for t in range(steps):
            source = uint64(at + (n * steps + t) * places * words)
            total = int64(0)
            for place in range(places):
                for k in range(words):
                    word = bits[source + uint64(place * words + k)]
                    while word != uint64(0):
                        total += weight[uint64(place * channels + 64 * k) + trailing_zeros(word)]
                        word &= word - uint64(1)
            sums[t, samples[0] + n] += total


def _turn(square: Any, at: Any, unit: Any, near: Any, middle: Any, far: Any) -> None:
    """Transpose 8 x 8 bits in each byte column (unit 1), or 8 x 8 bytes (unit 8), of eight words in place."""
    distance = uint64(4)
    for mask in (far, middle, near):
        for k in range(8):
            if uint64(k) & distance == uint64(0):
                i, j = at + uint64(k), at + uint64(k) + distance
                moved = ((square[i] >> (distance * unit)) ^ square[j]) & mask
                square[j] ^= moved
                square[i] ^= moved << (distance * unit)
        distance >>= uint64(1)


turn = inlined(_turn)


def _turn_bits(square: Any, at: Any) -> None:
    turn(square, at, uint64(1), uint64(0x5555555555555555), uint64(0x3333333333333333), uint64(0x0F0F0F0F0F0F0F0F))


def _turn_bytes(square: Any, at: Any) -> None:
    turn(square, at, uint64(8), uint64(0x00FF00FF00FF00FF), uint64(0x0000FFFF0000FFFF), uint64(0x00000000FFFFFFFF))


turn_bits = inlined(_turn_bits)
turn_bytes = inlined(_turn_bytes)


def _to_lanes(
    bits: Any,
    at: Any,
    count: Any,
    steps: Any,
    channels: Any,
    words: Any,
    vectors: Any,
    homes: Any,
    stride: Any,
    width: Any,
    square: Any,
) -> None:
    """Bits of `count` samples to vectors; `homes[place]` is the vector of a place's first channel; `square` is 64 words."""
    places = homes.shape[0]
    w = uint64(width)
    for chunk in range((steps + 7) // 8):
        for place in range(places):
            for k in range(words):
                for group in range(width):
                    for i in range(8):
                        n = 8 * group + i
                        for t in range(8):
                            step = 8 * chunk + t
                            square[uint64(8 * i + t)] = (
                                bits[uint64(at + ((n * steps + step) * places + place) * words + k)]
                                if n < count and step < steps
                                else uint64(0)
                            )
                        turn_bits(square, uint64(8 * i))
                    for i in range(8):
                        for j in range(i):
                            here, there = uint64(8 * i + j), uint64(8 * j + i)
                            square[here], square[there] = square[there], square[here]
                    for j in range(8):
                        turn_bytes(square, uint64(8 * j))
                        for b in range(8):
                            channel = 64 * k + 8 * b + j
                            if channel < channels:
                                vector = uint64(homes[place] + 2 * channel + chunk * stride)
                                lit = square[uint64(8 * j + b)]
                                vectors[vector * w + uint64(group)] = lit
                                vectors[(vector + uint64(1)) * w + uint64(group)] = ~lit


def _from_lanes(
    vectors: Any,
    homes: Any,
    stride: Any,
    width: Any,
    bits: Any,
    at: Any,
    count: Any,
    steps: Any,
    channels: Any,
    words: Any,
    square: Any,
) -> None:
    """Vectors to bits of `count` samples."""
    places = homes.shape[0]
    w = uint64(width)
    for chunk in range((steps + 7) // 8):
        for place in range(places):
            for k in range(words):
                for group in range((count + 7) // 8):
                    for j in range(8):
                        for b in range(8):
                            channel = 64 * k + 8 * b + j
                            vector = uint64(homes[place] + 2 * channel + chunk * stride)
                            square[uint64(8 * j + b)] = vectors[vector * w + uint64(group)] if channel < channels else uint64(0)
                        turn_bytes(square, uint64(8 * j))
                    for i in range(8):
                        for j in range(i):
                            here, there = uint64(8 * i + j), uint64(8 * j + i)
                            square[here], square[there] = square[there], square[here]
                    for i in range(8):
                        n = 8 * group + i
                        if n < count:
                            turn_bits(square, uint64(8 * i))
                            for t in range(min(8, steps - 8 * chunk)):
                                where = at + ((n * steps + 8 * chunk + t) * places + place) * words + k
                                bits[uint64(where)] = square[uint64(8 * i + t)]


pack = kernel(_pack)
unpack = kernel(_unpack)
add_rates = kernel(_add_rates)
weigh = kernel(_weigh)
to_lanes = kernel(_to_lanes)
from_lanes = kernel(_from_lanes)
