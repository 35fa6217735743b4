"""Neurons of a network as one recurrence in floats, per step: what Loihi's neuron computes, before any rounding.

    u  =  keep_u * u + gain * input
    v  =  keep_v * v + u + bias
    the neuron fires when v > threshold (or v >= threshold), and v becomes 0 (or loses the threshold)

u and v start at 0. A reset to another value than 0 is moved to 0 by measuring v from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from filopodia.errors import InputError, UnsupportedError
from filopodia.hardware.network.network import Semantics

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Population:
    """A neuron node as the recurrence above; every array has shape () or [n].

    `threshold` is in the file's own float32 steps: a network trained with >= has the float just below its threshold there.
    """

    name: str
    shape: tuple[int, ...]
    keep_u: Float
    keep_v: Float
    gain: Float
    bias: Float
    threshold: Float
    reset: Literal["zero", "subtract"]

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def leaks(self) -> bool:
        """Whether v or u decays by something other than everything at once, so that v leaves the grid of the inputs."""
        return bool(np.any((self.keep_v != 1) & (self.keep_v != 0)) or np.any(self.keep_u != 0))


def population(name: str, node: Any, shape: tuple[int, ...], semantics: Semantics) -> Population:
    """The recurrence of a neuron node; raises UnsupportedError for one that has none, naming the node."""
    kind = type(node).__name__
    if kind == "IF":
        gain, keep_v, leak = _one(node.r) * semantics.dt, np.ones(()), np.zeros(())
    elif kind == "LIF":
        share, keep_v = _decay(name, "tau", node.tau, semantics)
        gain, leak = share * _one(node.r), share * _one(node.v_leak)
    else:
        raise UnsupportedError(f"no Loihi neuron for a {kind} node", where=name, allowed="IF, LIF")
    resting = _one(node.v_reset)
    return _checked(
        Population(
            name=name,
            shape=shape,
            keep_u=np.zeros(()),
            keep_v=_one(keep_v),
            gain=_one(gain),
            bias=_one(leak + (keep_v - 1) * resting),
            threshold=_one(_one(node.v_threshold) - resting),
            reset=semantics.reset,
        )
    )


def _decay(name: str, what: str, tau: Any, semantics: Semantics) -> tuple[Float, Float]:
    """Share of the input taken in and share of the state kept, per step."""
    constant = _one(tau)
    if not np.all(constant > 0):
        raise InputError(f"{what} = {constant.min()} seconds", where=name, allowed=f"{what} > 0")
    ratio = semantics.dt / constant
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
    """float64, and a single number where all values are the same."""
    array = np.asarray(values, np.float64).reshape(-1) if np.ndim(values) else np.asarray(values, np.float64)
    return array.reshape(-1)[0].reshape(()) if array.size and np.all(array == array.flat[0]) else array


def _checked(made: Population) -> Population:
    for what in ("keep_u", "keep_v", "gain", "bias", "threshold"):
        values = getattr(made, what)
        if not np.all(np.isfinite(values)):
            count = int(np.sum(~np.isfinite(values)))
            raise InputError(f"{count} values that are not finite, in the neurons' {what}", where=made.name, allowed="numbers")
    if np.any(made.threshold < 0):
        raise UnsupportedError(
            f"threshold {made.threshold.min():g} below the reset value",
            where=made.name,
            allowed="thresholds at or above v_reset: Loihi's threshold is not negative",
        )
    return made
