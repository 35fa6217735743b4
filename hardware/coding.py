"""Analog values as spikes, by rate or by latency, for chips whose messages carry no numbers. Graded messages: `Graded`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.errors import InputError

Spikes = NDArray[np.bool_]


def rate_spikes(values: Any, steps: int) -> Spikes:
    """Values [N, *shape] in [0, 1] as spikes [T, N, *shape]: round(T x) of them, evenly spaced, the same every time.

    Where a network was trained on the values themselves, its neurons hear them on average. Raises InputError for values out of
    range and for T < 1.
    """
    level = np.rint(_checked(values, steps) * steps).astype(np.int64)
    half = steps // 2  # the running sum, counted in wholes of T, starts half full
    time = np.arange(steps).reshape(-1, *[1] * level.ndim)
    return np.asarray(((time + 1) * level + half) // steps - (time * level + half) // steps > 0)


def latency_spikes(values: Any, steps: int) -> Spikes:
    """Values [N, *shape] in [0, 1] as spikes [T, N, *shape]: one at step round((1 - x)(T - 1)), none for x below 1 / (2 T).

    For networks that were trained on such spikes. Raises InputError for values out of range and for T < 1.
    """
    array = _checked(values, steps)
    when = np.rint((1 - array) * (steps - 1)).astype(np.int64)
    time = np.arange(steps).reshape(-1, *[1] * array.ndim)
    return np.asarray((time == when) & (array >= 1 / (2 * steps)))


def _checked(values: Any, steps: int) -> NDArray[np.float32]:
    """Single precision, so that the spikes are those that `prune.encode` trains on."""
    array = np.asarray(values, np.float32)
    if steps < 1:
        raise InputError(f"{steps} steps", where="coding as spikes", allowed="1 or more")
    if array.ndim < 1:
        raise InputError("a single number", where="coding as spikes", allowed="[N, *shape]")
    if not np.all((array >= 0) & (array <= 1)):
        found = f"{int(np.sum(~((array >= 0) & (array <= 1))))} values outside [0, 1]"
        raise InputError(found, where="coding as spikes", allowed="0 to 1", fix="divide by the largest value")
    return array
