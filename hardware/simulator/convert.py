"""Between a user's arrays, kernel G's bits and kernel S's vectors.

Bits: per (sample, step) a node's places in turn, channels last, padded to 64-bit words (gather.py).
Vectors: per neuron 8 * W bytes, byte b for sample b, bit t for step t of eight, one such part or several (lanes.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import int8, int64, uint8, uint64

from filopodia.hardware.simulator.compiled import STAMP, inlined, kernel
from filopodia.hardware.simulator.simd import from_bits, greater, loader, mask_bits, ones, select, splat, store
from filopodia.hardware.simulator.transpose import turn_square

WORD = (0,)
SQUARES = 8  # of 64 x 64 bits that are turned together: steps are far apart, their words side by side
load_bytes = loader(8, 64)


def _row(i: Any) -> Any:
    """Where row i of a square is."""
    i = uint64(i)
    return uint64(8) * (i & uint64(7)) + (i >> uint64(3))


row = inlined(_row)


def _read_word(flat: Any, first: Any, count: Any, none: Any) -> Any:
    """Which of the bytes `flat[first : first + count]`, up to 64, are not 0."""
    if first + uint64(64) <= uint64(flat.shape[0]):
        word = mask_bits(greater(load_bytes(flat, first, WORD), none))
        if count < 64:
            word &= (uint64(1) << uint64(count)) - uint64(1)
        return word
    word = uint64(0)
    for c in range(min(count, 64)):
        word |= uint64(flat[first + uint64(c)] != 0) << uint64(c)
    return word


def _write_word(flat: Any, first: Any, count: Any, word: Any, none: Any) -> None:
    """Bits to bytes of 0 and 1: `flat[first : first + count]`, up to 64."""
    if count >= 64:
        store(flat, first, select(from_bits(word), splat(int8(1), none), none))
        return
    for c in range(count):
        flat[first + uint64(c)] = uint8((word >> uint64(c)) & uint64(1))


read_word = inlined(_read_word)
write_word = inlined(_write_word)


def _pack(
    x: Any, samples: Any, steps: Any, places: Any, channels: Any, words: Any, at: Any, bits: Any, sums: Any, _stamp: Any = STAMP
) -> None:
    """Spikes x uint8 [T, N, size] of samples `samples[0]..samples[1]` to bits; `sums` [T, n] counts them."""
    some = load_bytes(bits, uint64(0), WORD)
    none = some ^ some
    flat = x.reshape(-1)
    square = np.empty(64, np.uint64)
    size = uint64(places * channels)
    for n in range(samples[1] - samples[0]):
        for t in range(steps):
            out = uint64(at + (n * steps + t) * places * words)
            begin = uint64(t * x.shape[1] + samples[0] + n) * size
            count = int64(0)
            if places == 1:
                for k in range(words):
                    word = read_word(flat, begin + uint64(64 * k), channels - 64 * k, none)
                    bits[out + uint64(k)] = word
                    count += ones(word)
            else:
                for first in range(0, places, 64):
                    for k in range(words):
                        for c in range(64):
                            channel = 64 * k + c
                            word = uint64(0)
                            if channel < channels:
                                word = read_word(flat, begin + uint64(channel * places + first), places - first, none)
                            square[row(c)] = word
                            count += ones(word)
                        turn_square(square, uint64(0))
                        for place in range(first, min(first + 64, places)):
                            bits[out + uint64(place * words + k)] = square[row(place - first)]
            sums[t, n] = count


def _unpack(
    bits: Any, at: Any, samples: Any, steps: Any, places: Any, channels: Any, words: Any, x: Any, _stamp: Any = STAMP
) -> None:
    """Bits to spikes x uint8 [T, N, size] for samples `samples[0]..samples[1]`."""
    some = load_bytes(bits, uint64(0), WORD)
    none = some ^ some
    flat = x.reshape(-1)
    square = np.empty(64, np.uint64)
    size = uint64(places * channels)
    for n in range(samples[1] - samples[0]):
        for t in range(steps):
            source = uint64(at + (n * steps + t) * places * words)
            begin = uint64(t * x.shape[1] + samples[0] + n) * size
            if places == 1:
                for k in range(words):
                    write_word(flat, begin + uint64(64 * k), channels - 64 * k, bits[source + uint64(k)], none)
                continue
            for first in range(0, places, 64):
                for k in range(words):
                    for place in range(64):
                        inside = first + place < places
                        square[row(place)] = bits[source + uint64((first + place) * words + k)] if inside else uint64(0)
                    turn_square(square, uint64(0))
                    for channel in range(64 * k, min(64 * k + 64, channels)):
                        where = begin + uint64(channel * places + first)
                        write_word(flat, where, places - first, square[row(channel - 64 * k)], none)


def _add_rates(
    bits: Any, at: Any, samples: Any, steps: Any, places: Any, channels: Any, words: Any, rates: Any, _stamp: Any = STAMP
) -> None:
    """Spikes summed over time, into rates int32 [N, size]."""
    some = load_bytes(bits, uint64(0), WORD)
    none = some ^ some
    one = splat(int8(1), none)
    sums = np.empty(64, np.uint8)
    for n in range(samples[1] - samples[0]):
        for place in range(places):
            for k in range(words):
                for begin in range(0, steps, 255):
                    total = none
                    for t in range(begin, min(begin + 255, steps)):
                        word = bits[uint64(at + ((n * steps + t) * places + place) * words + k)]
                        total = total + select(from_bits(word), one, none)
                    store(sums, uint64(0), total)
                    for c in range(64 * k, min(64 * k + 64, channels)):
                        rates[samples[0] + n, c * places + place] += sums[uint64(c - 64 * k)]


def _weigh(bits: Any, at: Any, samples: Any, steps: Any, digits: Any, sums: Any, _stamp: Any = STAMP) -> None:
    """For each step and sample the sum of weights over the spikes, into sums [T, N].

    `digits` [bit, word] holds the weights' bits, laid out as a step's spikes.
    """
    words = uint64(digits.shape[1])
    for n in range(samples[1] - samples[0]):
        for t in range(steps):
            source = uint64(at) + uint64(n * steps + t) * words
            total = int64(0)
            for digit in range(digits.shape[0]):
                some = int64(0)
                for k in range(words):
                    some += ones(bits[source + uint64(k)] & digits[uint64(digit), uint64(k)])
                total += some << digit
            sums[t, samples[0] + n] += total


def _to_lanes(
    bits: Any,
    at: Any,
    count: Any,
    steps: Any,
    channels: Any,
    words: Any,
    vectors: Any,
    homes: Any,
    area: Any,
    stride: Any,
    width: Any,
    span: Any,
    square: Any,
    _stamp: Any = STAMP,
) -> None:
    """Bits of `count` samples to vectors; `homes[place]` is the vector of a place's first channel.

    `square` has 64 * SQUARES words.
    """
    places = homes.shape[0]
    w = uint64(width * span)
    chunks = (steps + 8 * span - 1) // (8 * span)
    for tile in range((count + 8 * width - 1) // (8 * width) * chunks):
        chunk, begin = tile % chunks, tile // chunks * 8 * width
        for place in range(places):
            for block in range(0, words, SQUARES):
                some = min(SQUARES, words - block)
                for group in range(width * span):
                    first = 8 * (chunk * span + group // width)
                    for i in range(8):
                        n = begin + 8 * (group % width) + i
                        for t in range(8):
                            step = first + t
                            where = uint64(at + ((n * steps + step) * places + place) * words + block)
                            inside = n < count and step < steps
                            for k in range(some):
                                square[uint64(64 * k + 8 * t + i)] = bits[where + uint64(k)] if inside else uint64(0)
                    for k in range(some):
                        turn_square(square, uint64(64 * k))
                        for c in range(min(64, channels - 64 * (block + k))):
                            vector = uint64(homes[place] + area * (64 * (block + k) + c) + tile * stride)
                            vectors[vector * w + uint64(group)] = square[uint64(64 * k) + row(c)]


def _from_lanes(
    bits: Any,
    at: Any,
    count: Any,
    steps: Any,
    channels: Any,
    words: Any,
    vectors: Any,
    homes: Any,
    area: Any,
    stride: Any,
    width: Any,
    span: Any,
    square: Any,
    _stamp: Any = STAMP,
) -> None:
    """Vectors to bits of `count` samples; the arguments are those of `to_lanes`."""
    places = homes.shape[0]
    w = uint64(width * span)
    chunks = (steps + 8 * span - 1) // (8 * span)
    for tile in range((count + 8 * width - 1) // (8 * width) * chunks):
        chunk, begin = tile % chunks, tile // chunks * 8 * width
        for place in range(places):
            for block in range(0, words, SQUARES):
                some = min(SQUARES, words - block)
                for group in range(width * span):
                    first = 8 * (chunk * span + group // width)
                    if begin + 8 * (group % width) >= count or first >= steps:
                        continue
                    for k in range(some):
                        for c in range(64):
                            channel = 64 * (block + k) + c
                            vector = uint64(homes[place] + area * channel + tile * stride)
                            found = vectors[vector * w + uint64(group)] if channel < channels else uint64(0)
                            square[uint64(64 * k) + row(c)] = found
                        turn_square(square, uint64(64 * k))
                    for i in range(8):
                        n = begin + 8 * (group % width) + i
                        for t in range(min(8, steps - first) if n < count else 0):
                            where = uint64(at + ((n * steps + first + t) * places + place) * words + block)
                            for k in range(some):
                                bits[where + uint64(k)] = square[uint64(64 * k + 8 * t + i)]


pack = kernel(_pack)
unpack = kernel(_unpack)
add_rates = kernel(_add_rates)
weigh = kernel(_weigh)
to_lanes = kernel(_to_lanes)
from_lanes = kernel(_from_lanes)
