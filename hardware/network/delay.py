"""Delays in steps, and the past that they read from."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

MOST_STEPS = 1_000_000


def delay_steps(seconds: Any, dt: float) -> NDArray[np.int64]:
    """Whole steps of `dt` for delays in seconds, the nearest, a half rounded up."""
    return np.floor(np.asarray(seconds, dtype=np.float64) / dt + 0.5).astype(np.int64)


class Past:
    """The last values of a signal [N, *shape]; every place reads its own `steps` [*shape] back, zeros before the start.

    Within a step: `write` what comes in, `read` what comes out, `advance`. Where `least`, the shortest delay, is at least 1,
    `read` may come before `write`.
    """

    def __init__(self, steps: NDArray[np.int64], full: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.least = int(steps.min()) if steps.size else 0
        self.length = (int(steps.max()) if steps.size else 0) + 1
        self.steps = steps
        self.ring = np.zeros((self.length, *full), dtype)
        self.now = 0

    def write(self, values: Floats) -> None:
        self.ring[self.now] = values

    def read(self) -> Floats:
        slots = np.broadcast_to((self.now - self.steps) % self.length, self.ring.shape[1:])
        return cast(Floats, np.take_along_axis(self.ring, slots[None], axis=0)[0])

    def advance(self) -> None:
        self.now = (self.now + 1) % self.length
