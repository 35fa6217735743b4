"""Neurons of a network as one recurrence in floats, per step: what Loihi's neuron computes, before any rounding.

    u  =  keep_u * u + gain * input
    v  =  keep_v * v + u + bias
    the neuron fires when v > threshold (or v >= threshold), and v becomes 0 (or loses the threshold)

u and v start at 0. A neuron that starts at and resets to another value than 0 is moved there: v is measured from that value.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from filopodia.errors import InputError, UnsupportedError
from filopodia.hardware.network.network import Comparison, Semantics

Float = NDArray[np.float64]

SPIKING = ("IF", "LIF", "CubaLIF", "Threshold")
READOUTS = ("I", "LI", "CubaLI")
NEURONS = (*SPIKING, *READOUTS)


@dataclass(frozen=True, eq=False)
class Population:
    """A neuron node as the recurrence above; every array has shape () or [n].

    A read-out (`spikes` False) never fires: its threshold is infinite, and its voltage is the result.
    """

    name: str
    shape: tuple[int, ...]
    keep_u: Float
    keep_v: Float
    gain: Float
    bias: Float
    threshold: Float
    reset: Literal["zero", "subtract"] = "zero"
    comparison: Comparison = ">"

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def spikes(self) -> bool:
        return bool(np.all(np.isfinite(self.threshold)))

    @property
    def leaks(self) -> bool:
        """Whether a part of u or v is kept from step to step, so that v leaves the grid of the inputs."""
        dv, du = np.rint(4096 * self.keep_v), np.rint(4096 * self.keep_u)
        return bool(np.any((dv != 4096) & (dv != 0)) or np.any(du != 0))


def population(name: str, node: Any, shape: tuple[int, ...], semantics: Semantics) -> Population:
    """The recurrence of a neuron node. Raises UnsupportedError for one that Loihi's neuron cannot follow, naming the node."""
    kind = type(node).__name__
    zero, one = np.zeros(()), np.ones(())
    keep_u, keep_v, gain, start = zero, one, one, zero
    if kind in ("I", "IF"):
        gain = _plain(_one(node.r) * semantics.dt)
        start = _one(getattr(node, "v_reset", 0.0))
    elif kind in ("LI", "LIF"):
        share, keep_v = _decay(name, "tau", node.tau, semantics)
        gain, start = _plain(share * _one(node.r)), _one(node.v_leak)
    elif kind in ("CubaLI", "CubaLIF"):
        share_u, keep_u = _decay(name, "tau_syn", node.tau_syn, semantics)
        share, keep_v = _decay(name, "tau_mem", node.tau_mem, semantics)
        onto_v = _plain(share * _one(node.r))
        if onto_v.ndim and keep_u.ndim:
            onto_v = np.broadcast_to(onto_v, keep_u.shape)
        gain, start = _plain(share_u * _one(node.w_in)) * onto_v, _one(node.v_leak)
    else:
        keep_v = zero  # Threshold: nothing is kept
    threshold = np.full((), np.inf)
    comparison, reset = semantics.comparison, semantics.reset
    if kind == "Threshold":
        threshold, comparison, reset = _one(node.threshold), ">", "zero"
    elif kind in SPIKING:
        threshold = _one(node.v_threshold) - start
        start = _settled(name, node, start, reset)
    elif np.any(start != 0):
        raise UnsupportedError(f"a read-out at rest at v_leak = {start.flat[0]:g}", where=name, allowed="v_leak = 0")
    return _checked(Population(name, shape, keep_u, keep_v, gain, zero, _one(threshold), reset, comparison))


def accumulator(name: str, shape: tuple[int, ...]) -> Population:
    """A read-out for an output without neurons: v is the sum of the output over the steps so far."""
    zero, one = np.zeros(()), np.ones(())
    return Population(name, shape, zero, one, one, zero, np.full((), np.inf))


def always_on(name: str) -> Population:
    """One neuron that fires in every step: the source of constants that cannot be a bias."""
    zero, one = np.zeros(()), np.ones(())
    return Population(name, (1,), zero, zero, one, np.full((), 2.0), np.ones(()))


def relay(name: str, shape: tuple[int, ...]) -> Population:
    """Neurons that repeat what they hear, one step later: delays longer than a synapse's are made of them."""
    zero, one = np.zeros(()), np.ones(())
    return Population(name, shape, zero, zero, one, zero, np.full((), 0.5))


def _settled(name: str, node: Any, start: Float, reset: str) -> Float:
    """Where v starts and returns to, which must be one value for v to be measured from there."""
    after = _one(node.v_reset) if reset == "zero" else np.zeros(())
    if np.any(after != start):
        what = f"v_reset = {after.flat[0]:g}" if reset == "zero" else "reset by subtraction"
        raise UnsupportedError(
            f"neurons that start at {start.flat[0]:g} with {what}",
            where=name,
            allowed="v_reset = v_leak, or v_leak = 0 with reset by subtraction: Loihi's neurons start at and reset to 0",
        )
    return start


def _decay(name: str, what: str, tau: Any, semantics: Semantics) -> tuple[Float, Float]:
    """Share of the input taken in and share of the state kept, per step."""
    constant = _one(tau)
    if not np.all(constant > 0):
        raise InputError(f"{what} = {constant.min()} seconds", where=name, allowed=f"{what} > 0")
    ratio = 1 / _plain(constant / semantics.dt)
    if semantics.discretization == "exponential":
        keep = np.exp(-ratio)
        return 1 - keep, keep
    if np.any(ratio > 1):
        raise InputError(
            f"{what} = {constant.min():g} s is shorter than the step dt = {semantics.dt:g} s",
            where=name,
            allowed=f"{what} >= dt under Euler's rule",
            fix='shorten dt, or load with discretization="exponential"',
        )
    return ratio, 1 - ratio


def _one(values: Any) -> Float:
    """Flat float64, and a single number (shape ()) where all values are the same."""
    array = np.asarray(values)
    if array.ndim == 0:
        return array.astype(np.float64)
    first = array.flat[0] if array.size else np.float64(0)
    if all(stride == 0 for stride in array.strides) or bool(np.all(array == first)):
        return np.asarray(first, np.float64)
    return array.astype(np.float64).reshape(-1)


def _plain(values: Float) -> Float:
    """Values that float32 storage has moved off a simple fraction (tau = 2 steps, r = 1 / dt), put back on it."""
    distinct, where = np.unique(values, return_inverse=True)
    if len(distinct) > 4096:
        return values  # trained one by one, so no fractions
    simple = np.array([float(Fraction(value).limit_denominator(1000)) if np.isfinite(value) else value for value in distinct])
    close = np.abs(simple - distinct) <= 1.5e-7 * np.abs(distinct)
    return np.asarray(np.where(close, simple, distinct)[where].reshape(values.shape))


def _checked(made: Population) -> Population:
    for what in ("keep_u", "keep_v", "gain", "bias"):
        values = getattr(made, what)
        if not np.all(np.isfinite(values)):
            count = int(np.sum(~np.isfinite(values)))
            raise InputError(f"{count} values that are not finite, in the neurons' {what}", where=made.name, allowed="numbers")
    if np.any(np.isnan(made.threshold)) or np.any(made.threshold == -np.inf):
        raise InputError("a threshold that is not a number", where=made.name, allowed="numbers")
    if np.any(made.threshold < 0):
        raise UnsupportedError(
            f"a threshold {-made.threshold.min():g} below the value that v starts at",
            where=made.name,
            allowed="thresholds at or above it: Loihi's threshold is not negative",
        )
    return made
