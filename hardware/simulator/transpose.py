"""Bit planes to bytes: the transposition of 8 x 8 bits on whole vectors, inlined into kernel S."""

from __future__ import annotations

from typing import Any

from numba import int64, uint64

from filopodia.hardware.simulator.adders import WIDE
from filopodia.hardware.simulator.compiled import inlined
from filopodia.hardware.simulator.simd import loader, shift_right_logical, splat, store

load = loader(64, 1)


def _swap(a: Any, b: Any, distance: Any, mask: Any) -> Any:
    """One step of the transposition of 8 x 8 bits: swap the bits of `mask` in `b` with those `distance` higher in `a`."""
    moved = (shift_right_logical(a, splat(int64(distance), a)) ^ b) & splat(int64(mask), a)
    return a ^ (moved << splat(int64(distance), a)), b ^ moved


swap = inlined(_swap)


def _transpose(words: Any, plane: Any, out: Any, width: Any) -> None:
    """Eight bit planes, slots from word `plane` on, to the bytes of eight steps, slots from word `out` on.

    Byte b of plane t becomes the number whose bits were at (b, t).
    """
    w = uint64(WIDE)
    a, e = swap(load(words, plane, width), load(words, plane + uint64(4) * w, width), 4, 0x0F0F0F0F0F0F0F0F)
    b, f = swap(load(words, plane + w, width), load(words, plane + uint64(5) * w, width), 4, 0x0F0F0F0F0F0F0F0F)
    c, g = swap(load(words, plane + uint64(2) * w, width), load(words, plane + uint64(6) * w, width), 4, 0x0F0F0F0F0F0F0F0F)
    d, h = swap(load(words, plane + uint64(3) * w, width), load(words, plane + uint64(7) * w, width), 4, 0x0F0F0F0F0F0F0F0F)
    a, c = swap(a, c, 2, 0x3333333333333333)
    b, d = swap(b, d, 2, 0x3333333333333333)
    e, g = swap(e, g, 2, 0x3333333333333333)
    f, h = swap(f, h, 2, 0x3333333333333333)
    a, b = swap(a, b, 1, 0x5555555555555555)
    c, d = swap(c, d, 1, 0x5555555555555555)
    e, f = swap(e, f, 1, 0x5555555555555555)
    g, h = swap(g, h, 1, 0x5555555555555555)
    store(words, out, a)
    store(words, out + w, b)
    store(words, out + uint64(2) * w, c)
    store(words, out + uint64(3) * w, d)
    store(words, out + uint64(4) * w, e)
    store(words, out + uint64(5) * w, f)
    store(words, out + uint64(6) * w, g)
    store(words, out + uint64(7) * w, h)


transpose = inlined(_transpose)
