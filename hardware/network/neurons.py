"""One step of each NIR neuron, in floats.

The order of operations is SpikingJelly's wherever it has the neuron, because in float32 the order decides the last bit:

    IF                        v <- v + x                                     (gain r*dt = 1, else v + (r*dt)*x)
    LIF, Euler, r = 1         v <- v + (x - (v - v_leak)) / (tau/dt)          SpikingJelly's decay_input=True
    LIF, Euler, r = tau/dt    v <- v - (v - v_leak) / (tau/dt) + x            decay_input=False
    LIF, exponential          v <- v_leak + (v - v_leak)*a + (1 - a)*(r*x),   a = exp(-dt/tau)
    CubaLIF, Euler            u <- u*(1 - dt/tau_syn) + (w_in*dt/tau_syn)*x;  v <- v*(1 - dt/tau_mem) + (r*dt/tau_mem)*u
    CubaLIF, exponential      u <- u*s + (1 - s)*(w_in*x);                    v <- v*a + (1 - a)*(r*u)   (v from v_leak)

The voltage sees the current of the same step, after its input. I, LI and CubaLI are these without a threshold.
    IF, LIF in fixed point    x <- x*gain in whole units;  v <- v*(4096 - decay)/4096, cut towards zero at 1/64 unit,  + x

(gain 1 or dt/tau, decay = 4096*dt/tau, `scale` units per 1; v is held within +-(2^23 - 1)/64 units, and firing is strict.)
A neuron fires when v > v_threshold, or v >= v_threshold where the comparison says so: v exactly on the threshold is a tie,
and the comparison alone decides it. Then v becomes v_reset, or v_threshold is taken off it (reset by subtraction).
Neurons with a leak start at v_leak, IF at v_reset, I at 0; the synaptic current starts at 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.hardware.network.network import Semantics

Floats = NDArray[np.floating[Any]]

FRACTION = 64  # parts of a unit that a voltage in fixed point is held in
LEAK_PARTS = 4096  # parts of a voltage that its leak is told in
VOLTAGE_LIMIT = 2**23 - 1  # in parts of a unit

MOST_DISTINCT = 1024  # time constants in one layer; more have been trained one by one, and are no plain numbers


@dataclass(frozen=True, eq=False)
class Neuron:
    """A NIR neuron's constants, ready for stepping: arrays that broadcast over [N, *shape], all of one float type.

    The synapse, where there is one: u <- u*syn_keep + syn_gain*x. The membrane, by `rule`:
    "divide" v + (gain*x - (v - leak))/steps · "add" v - (v - leak)/steps + x · "keep" leak + (v - leak)*keep + gain*x ·
    "integrate" v + gain*x · "fixed" the last of the rules above, `keep` of 4096 parts and `scale` units per 1.
    """

    rule: str
    start: Floats
    gain: Floats
    leak: Floats
    steps: Floats
    keep: Floats
    syn_keep: Floats | None = None
    syn_gain: Floats | None = None
    threshold: Floats | None = None
    v_reset: Floats | None = None
    fires_at_threshold: bool = False
    subtract: bool = False
    scale: float = 0.0


def prepare(node: Any, semantics: Semantics, dtype: Any, scale: float = 0.0) -> Neuron:
    """Constants of `node` (I, IF, LI, LIF, CubaLI, CubaLIF) under `semantics`, worked out in double precision.

    A `scale` other than 0: the neurons (IF, LIF) compute in fixed point.
    """
    kind = type(node).__name__
    dt, euler = semantics.dt, semantics.discretization == "euler"

    def cast(values: Any) -> Floats:
        array: Floats = _compact(np.asarray(values)).astype(dtype)
        return array

    zero, one = np.zeros((), dtype), np.ones((), dtype)
    leak = cast(node.v_leak) if hasattr(node, "v_leak") else zero
    rule, gain, steps, keep, syn_keep, syn_gain = "integrate", one, one, one, None, None
    if kind in ("I", "IF"):
        gain = cast(_simple(node.r, dt))
    elif kind in ("LI", "LIF"):
        tau = _simple(node.tau, 1 / dt)
        if euler:
            unscaled = np.all(np.abs(np.asarray(node.r, dtype=np.float64) / tau - 1) < 1e-6) and not np.all(tau == 1)
            rule, steps, gain = ("add", cast(tau), one) if unscaled else ("divide", cast(tau), cast(node.r))
        else:
            rule, keep = "keep", cast(np.exp(-1 / tau))
            gain = cast((1 - np.exp(-1 / tau)) * np.asarray(node.r, dtype=np.float64))
    else:
        tau_syn, tau_mem = _simple(node.tau_syn, 1 / dt), _simple(node.tau_mem, 1 / dt)
        part_syn, part_mem = (1 / tau_syn, 1 / tau_mem) if euler else (-np.expm1(-1 / tau_syn), -np.expm1(-1 / tau_mem))
        rule = "keep"
        syn_keep, syn_gain = cast(1 - part_syn), cast(_near_one(part_syn * np.asarray(node.w_in, dtype=np.float64)))
        keep, gain = cast(1 - part_mem), cast(_near_one(part_mem * np.asarray(node.r, dtype=np.float64)))
    if scale:
        decay = np.rint(LEAK_PARTS / _simple(node.tau, 1 / dt)) if kind == "LIF" else np.zeros(())
        gain = np.asarray(decay / LEAK_PARTS) if rule == "divide" else np.ones(())
        rule, keep = "fixed", np.asarray(LEAK_PARTS - decay)
    spiking = hasattr(node, "v_threshold")
    start = leak if hasattr(node, "v_leak") else cast(node.v_reset) if spiking else zero
    return Neuron(
        rule=rule,
        start=start,
        gain=gain,
        leak=leak,
        steps=steps,
        keep=keep,
        syn_keep=syn_keep,
        syn_gain=syn_gain,
        threshold=cast(node.v_threshold) if spiking else None,
        v_reset=cast(node.v_reset) if spiking else None,
        fires_at_threshold=semantics.comparison == ">=" and not scale,
        subtract=semantics.reset == "subtract",
        scale=scale,
    )


def step(neuron: Neuron, u: Floats | None, v: Floats, x: Floats) -> tuple[Floats, Floats | None, Floats]:
    """Output (spikes as 0 and 1, or v where there is no threshold), current and voltage after input `x`, all [N, *shape]."""
    if u is not None and neuron.syn_keep is not None and neuron.syn_gain is not None:
        u = x = u * neuron.syn_keep + neuron.syn_gain * x
    if neuron.rule == "integrate":
        v = v + neuron.gain * x
    elif neuron.rule == "divide":
        v = v + (neuron.gain * x - (v - neuron.leak)) / neuron.steps
    elif neuron.rule == "fixed":
        v = _fixed_point(neuron, v, x)
    elif neuron.rule == "add":
        v = v - (v - neuron.leak) / neuron.steps + x
    else:
        v = neuron.leak + (v - neuron.leak) * neuron.keep + neuron.gain * x
    if neuron.threshold is None or neuron.v_reset is None:
        return v, u, v
    fired = v >= neuron.threshold if neuron.fires_at_threshold else v > neuron.threshold
    v = np.where(fired, v - neuron.threshold if neuron.subtract else neuron.v_reset, v)
    return fired.astype(v.dtype), u, v


def _fixed_point(neuron: Neuron, v: Floats, x: Floats) -> Floats:
    """v after the input, in double precision, which holds every product; the result is exact in float32 too."""
    unit = FRACTION * neuron.scale
    kept = np.trunc(v.astype(np.float64) * unit * neuron.keep / LEAK_PARTS)
    arrived = np.rint(x.astype(np.float64) * neuron.gain * neuron.scale) * FRACTION
    after: Floats = (np.clip(kept + arrived, -VOLTAGE_LIMIT, VOLTAGE_LIMIT) / unit).astype(v.dtype)
    return after


def _compact(values: NDArray[Any]) -> NDArray[Any]:
    """A broadcast array at its stored size: axes that repeat one value shrink to length one."""
    return values[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in values.strides)]


def _simple(values: Any, factor: float) -> NDArray[np.float64]:
    """values * factor in double precision, where values stored in float32 have lost what makes tau/dt a plain number.

    tau = 2 steps of 1e-3 s is stored as 0.0020000000949949026 s. Of all ratios that this float32 stands for, the simplest
    fraction is meant, here 2: the float32 a trained network divides by is then met exactly, not off by one bit.
    """
    small = _compact(np.asarray(values))
    distinct, where = np.unique(small, return_inverse=True)
    if small.dtype != np.float32 or distinct.size > MOST_DISTINCT:
        return _near_one(small.astype(np.float64) * factor)
    meant = [_simplest(stored, float(stored) * factor, factor) for stored in distinct]
    return np.asarray(meant, dtype=np.float64)[where].reshape(small.shape)


def _simplest(stored: np.float32, ratio: float, factor: float) -> float:
    fraction = Fraction(ratio).limit_denominator(1000)
    return float(fraction) if np.float32(float(fraction) / factor) == stored else ratio


def _near_one(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values that miss 1 only by the rounding of a product of stored numbers, made 1."""
    return np.where(np.abs(values - 1) < 1e-7, 1.0, values)
