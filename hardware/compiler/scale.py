"""The scale of a layer: how many integer units one unit of the network's voltage becomes.

All connections into a layer share it, as they add into one voltage. The largest weight should come near 254, thresholds and
biases must fit their fields, and the largest possible input sum must stay below 2^15. Within that, the scale is taken on
whose grid the weights lie best: a network whose weights are integers times anything is met exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.hardware.compiler.lower import Projection
from filopodia.hardware.compiler.neurons import Population
from filopodia.hardware.layer_fields import BIAS_EXP_LIMIT, BIAS_LIMIT, VTH_LIMIT

WEIGHT_LIMIT = 254
WEIGHT_EXP_LIMIT = 7
SUM_LIMIT = 2**15 - 1
FINE_THRESHOLD = 4096
"""Units that a threshold should have where v leaves the grid of the weights: ties and rounded biases then decide little."""

CANDIDATES = 96


def exponent(scale: float, largest: float) -> int:
    """The smallest exponent >= 0 with which a weight of this size fits 8 bits at this scale."""
    return max(0, math.ceil(math.log2(max(scale * largest / (WEIGHT_LIMIT + 0.999), 1e-300))))


def even(values: NDArray[Any], scale: float, exp: int) -> NDArray[Any]:
    """Weights as even integers within +-254 (still floats): nearest, zero stays zero, larger ones are clipped."""
    step = 2.0 ** (exp + 1)
    rounded: NDArray[Any] = values * values.dtype.type(scale / step)
    np.rint(rounded, out=rounded)
    np.clip(rounded, -WEIGHT_LIMIT // 2, WEIGHT_LIMIT // 2, out=rounded)
    rounded *= 2
    return rounded


def ceiling(neurons: Population, incoming: Sequence[Projection], largest_sum: float, steps: int) -> float:
    """The scale at which the first field would overflow.

    `largest_sum` is the largest input sum in the network's units; `steps` is how long a read-out may add it up.
    """
    biggest = max((p.largest for p in incoming), default=0.0)
    limits = [
        (float(SUM_LIMIT), largest_sum),
        (float(WEIGHT_LIMIT << WEIGHT_EXP_LIMIT), biggest),
        (float(BIAS_LIMIT << (BIAS_EXP_LIMIT - 6)), float(np.max(np.abs(neurons.bias), initial=0))),
    ]
    current = largest_sum * _held(neurons.keep_u, steps)
    limits.append((VTH_LIMIT - 1.0, current))  # u may not wrap past 2^23
    if neurons.spikes:
        limits.append((float(VTH_LIMIT), float(np.max(neurons.threshold, initial=0))))
    else:
        each = current + float(np.max(np.abs(neurons.bias), initial=0))
        limits.append((VTH_LIMIT - 1.0, each * _held(neurons.keep_v, steps)))
    return min((limit / value for limit, value in limits if value > 0), default=math.inf)


def _held(keep: NDArray[np.float64], steps: int) -> float:
    """How many times its steady input a state can reach that keeps this share per step, within so many steps."""
    kept = float(np.max(keep, initial=0))
    return float(steps) if kept >= 1 else min(float(steps), 1 / (1 - kept))


def top_scale(neurons: Population, incoming: Sequence[Projection], limit: float) -> float:
    """The largest scale worth using: the weights' range full, and the threshold fine enough where it has to be."""
    largest = max((p.largest for p in incoming), default=0.0)
    threshold = typical_threshold(neurons)
    if largest == 0 and threshold == 0:
        return min(1.0, limit)
    top = (WEIGHT_LIMIT + 0.5) / largest if largest > 0 else FINE_THRESHOLD / threshold
    if not neurons.spikes:
        return limit if math.isfinite(limit) else top
    if neurons.leaks or np.any(neurons.bias != 0) or neurons.threshold.ndim:
        while 0 < top * threshold < FINE_THRESHOLD and 2 * top <= limit:
            top *= 2
    return min(top, limit)


def typical_threshold(neurons: Population) -> float:
    """The threshold that most neurons have or lie around; 0 for a read-out."""
    return float(np.median(neurons.threshold)) if neurons.spikes and neurons.threshold.size else 0.0


def candidates(neurons: Population, incoming: Sequence[Projection], top: float) -> list[float]:
    """Scales to choose from, the largest first; all use at least half of the range up to `top`.

    Thresholds are whole and odd: weights are even, so that a sum never meets them exactly, and > is as good as >=.
    """
    threshold = typical_threshold(neurons)
    found = set(_lattices(incoming, top))
    if threshold <= 0 or top * threshold < 3:
        return sorted({top} | found, reverse=True)
    last = math.floor(top * threshold)
    steps = np.unique(np.geomspace(max(1, last // 2), last, CANDIDATES).astype(int) | 1)
    found |= {int(m) / threshold for m in steps if m / threshold <= top * (1 + 1e-9)}
    return sorted(found, reverse=True) or [top]


def _lattices(incoming: Sequence[Projection], top: float) -> list[float]:
    """Scales at which all weights are even integers, if there are such."""
    values = [(p.sample, p.largest) for p in incoming]
    largest = max((size for _, size in values), default=0.0)
    if largest <= 0:
        return []
    found = []
    exp = max(0, round(math.log2(max(top * largest / WEIGHT_LIMIT, 1e-300))))
    for half in range(1, WEIGHT_LIMIT // 2 + 1):
        scale = 2.0 * half * 2**exp / largest
        if scale <= top * (1 + 1e-6) and all(on_grid(v, scale, size) for v, size in values):
            found.append(scale)
    return found


def on_grid(values: NDArray[Any], scale: float, largest: float) -> bool:
    """Whether all weights are even integers at this scale, float32 rounding aside."""
    exp = exponent(scale, largest)
    return bool(np.all(np.abs(even(values, scale, exp) * 2.0**exp - values * scale) < 1e-3))


def error(incoming: Sequence[Projection], scale: float) -> float:
    """Mean squared rounding error of the weights over their mean square, on a sample of each connection's weights."""
    lost = total = 0.0
    for projection in incoming:
        values, exp = projection.sample, exponent(scale, projection.largest)
        lost += float(np.sum((even(values, scale, exp) * 2.0**exp / scale - values) ** 2))
        total += float(np.sum(values**2))
    return lost / total if total else 0.0
