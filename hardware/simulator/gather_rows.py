"""What arrives at a place, inlined into kernel G: spikes as lists, and the weight rows of those lists added up.

Rows hold one byte per weight, two to a 16-bit lane: the upper byte h signed, the lower byte l raised by 128. Adding the lanes
gives A = sum(l) + 256 * sum(h), adding the lanes shifted right by 8 gives B = sum(h); so sum(h) = B and
sum(l) = A - 256 * B, exact modulo 2^16: three operations for 64 weights. Layers with sums past 16 bits, weights past 8 bits,
graded messages or grouped convolutions take the wide way: int16 weights times messages added in int32.
"""

from __future__ import annotations

from typing import Any

from numba import int16, int32, int64, uint64

from filopodia.hardware.simulator.compiled import inlined
from filopodia.hardware.simulator.simd import caster, loader, splat, store, trailing_zeros

load_pairs = loader(16, 32)
load_sums = loader(32, 32)
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
