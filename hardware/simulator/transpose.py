"""Transpositions of bits on whole vectors, inlined into the kernels: bit planes to bytes, squares of 64 x 64 bits."""

from __future__ import annotations

from typing import Any

from numba import int64, uint64

from filopodia.hardware.simulator.adders import WIDE
from filopodia.hardware.simulator.compiled import inlined
from filopodia.hardware.simulator.simd import loader, shift_right_logical, splat, store, turn_bytes

load = loader(64, 1)
SQUARE = (0,) * 8  # words per vector of a square


def _swap(a: Any, b: Any, distance: Any, mask: Any) -> Any:
    """One step of the transposition of 8 x 8 bits: swap the bits of `mask` in `b` with those `distance` higher in `a`."""
    moved = (shift_right_logical(a, splat(int64(distance), a)) ^ b) & splat(int64(mask), a)
    return a ^ (moved << splat(int64(distance), a)), b ^ moved


swap = inlined(_swap)


def _turn_bits(a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any) -> Any:
    """Eight vectors: bit i of each byte of vector j becomes bit j of that byte of vector i."""
    a, e = swap(a, e, 4, 0x0F0F0F0F0F0F0F0F)
    b, f = swap(b, f, 4, 0x0F0F0F0F0F0F0F0F)
    c, g = swap(c, g, 4, 0x0F0F0F0F0F0F0F0F)
    d, h = swap(d, h, 4, 0x0F0F0F0F0F0F0F0F)
    a, c = swap(a, c, 2, 0x3333333333333333)
    b, d = swap(b, d, 2, 0x3333333333333333)
    e, g = swap(e, g, 2, 0x3333333333333333)
    f, h = swap(f, h, 2, 0x3333333333333333)
    a, b = swap(a, b, 1, 0x5555555555555555)
    c, d = swap(c, d, 1, 0x5555555555555555)
    e, f = swap(e, f, 1, 0x5555555555555555)
    g, h = swap(g, h, 1, 0x5555555555555555)
    return a, b, c, d, e, f, g, h


turn_bits = inlined(_turn_bits)


def _load_eight(words: Any, first: Any, pitch: Any, width: Any) -> Any:
    return (
        load(words, first, width),
        load(words, first + pitch, width),
        load(words, first + uint64(2) * pitch, width),
        load(words, first + uint64(3) * pitch, width),
        load(words, first + uint64(4) * pitch, width),
        load(words, first + uint64(5) * pitch, width),
        load(words, first + uint64(6) * pitch, width),
        load(words, first + uint64(7) * pitch, width),
    )


def _store_eight(words: Any, first: Any, pitch: Any, vectors: Any) -> None:
    a, b, c, d, e, f, g, h = vectors
    store(words, first, a)
    store(words, first + pitch, b)
    store(words, first + uint64(2) * pitch, c)
    store(words, first + uint64(3) * pitch, d)
    store(words, first + uint64(4) * pitch, e)
    store(words, first + uint64(5) * pitch, f)
    store(words, first + uint64(6) * pitch, g)
    store(words, first + uint64(7) * pitch, h)


load_eight = inlined(_load_eight)
store_eight = inlined(_store_eight)


def _transpose(words: Any, plane: Any, out: Any, width: Any) -> None:
    """Eight bit planes, slots from word `plane` on, to the bytes of eight steps, slots from word `out` on.

    Byte b of plane t becomes the number whose bits were at (b, t).
    """
    pitch = uint64(WIDE)
    store_eight(words, out, pitch, turn_bits(*load_eight(words, plane, pitch, width)))


def _turn_square(square: Any, at: Any) -> None:
    """Transpose 64 x 64 bits in place, row r being word `at` + 8 * (r % 8) + r // 8 of `square`."""
    pitch = uint64(8)
    a, b, c, d, e, f, g, h = turn_bits(*load_eight(square, at, pitch, SQUARE))
    turned = (
        *(turn_bytes(a), turn_bytes(b), turn_bytes(c), turn_bytes(d)),
        *(turn_bytes(e), turn_bytes(f), turn_bytes(g), turn_bytes(h)),
    )
    store_eight(square, at, pitch, turned)


transpose = inlined(_transpose)
turn_square = inlined(_turn_square)
