"""Buffers kept from one tile to the next: fresh memory costs a page fault per 4 KiB, as much as a small tile's work."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

KEPT_WORDS = 2**23  # larger buffers are given back to the system: their pages are few against the work done in them
KEPT = 4


class Spare:
    """A few buffers of 64-bit words; threads may take and give at the same time (a list's pop and append are atomic)."""

    def __init__(self) -> None:
        self._kept: list[NDArray[np.uint64]] = []

    def take(self, words: int) -> NDArray[np.uint64]:
        """Words with any content, from the start of a cache line."""
        for _ in range(len(self._kept)):
            try:
                buffer = self._kept.pop()
            except IndexError:
                break
            if len(buffer) >= words:
                return buffer
            self._kept.insert(0, buffer)
        raw = np.empty(words + 8, np.uint64)
        skip = (-raw.ctypes.data % 64) // 8
        return raw[skip : skip + words]

    def give(self, buffer: NDArray[np.uint64]) -> None:
        """Keep a buffer for later, unless it is large or enough are kept."""
        if len(buffer) <= KEPT_WORDS:
            self._kept.append(buffer)
            del self._kept[:-KEPT]
