"""Time constants in seconds that give back the very steps they came from.

A trained tau is a number of steps, a NIR tau is seconds in float32. Readers divide by dt, some in float64 and some in
float32; both must land on the float32 that training divided by, or the two compute different voltages in the last bit.
"""

from __future__ import annotations

import numpy as np


def steps(seconds: np.floating, dt: float) -> np.float32:
    """A NIR time constant in steps of `dt`, as every part of filopodia computes it."""
    return np.float32(np.float64(seconds) / np.float64(dt))


def time_constant(tau: float, dt: float) -> np.float32 | np.float64:
    """`tau` steps in seconds: a float32 that gives `tau` back exactly, or a float64 in the rare case that there is none."""
    target = np.float32(tau)
    middle = np.float32(np.float64(target) * dt)
    below, above = np.nextafter(middle, np.float32(0)), np.nextafter(middle, np.float32(np.inf))
    exact = [candidate for candidate in (middle, below, above) if steps(candidate, dt) == target]
    both = [candidate for candidate in exact if candidate / np.float32(dt) == target]
    return (both or exact or [np.float64(target) * dt])[0]
