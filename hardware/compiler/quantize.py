"""Quantisation: a population and what reaches it become integers that Lava and Loihi read the same way.

Even weights within +-254 and an exponent >= 0 per connection, one scale per layer, thresholds, decays and biases in the range
of their fields, and input sums below 2^15 proved from the weights. Zero weights stay zero; others that vanish are counted.

Before: a population in floats and the maps that reach it. After: integers that Lava and the chip read alike, no further from
the floats than the report says; where the floats are integers times anything, exactly those.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from filopodia.hardware.compiler import maps
from filopodia.hardware.compiler import scale as scales
from filopodia.hardware.compiler.lower import Projection
from filopodia.hardware.compiler.maps import ConvMap, LinearMap, MatrixMap
from filopodia.hardware.compiler.neurons import Population
from filopodia.hardware.layer_fields import BIAS_EXP_LIMIT, BIAS_LIMIT, VTH_LIMIT
from filopodia.hardware.program import Layer

Integers = Any
"""int16 weights in the layout of the map they come from: an array, or a csr_array."""

CHUNK = 2**18
ROWS = 64

READOUT_STEPS = 32
"""Steps over which a read-out can add up the largest input without overflow, where no calibration says how long a sample is."""


@dataclass(frozen=True)
class Choice:
    """How to round a layer: its scale, the share of the largest weight that the weights' range reaches (the rest is clipped),
    and which value decay fields take.

    `decay`: "corrected" for what cutting v towards zero leaks besides, "other" on the other side of that, or "nearest" where
    the network was trained with the cutting.
    """

    scale: float
    reach: float = 1.0
    decay: Literal["corrected", "other", "nearest"] = "corrected"


@dataclass(frozen=True)
class Frame:
    """What rounding has to respect besides the weights.

    `messages`: the largest message per source (1 for spikes). `largest_sum`: the largest input sum that was measured, in the
    network's units, or None to prove it from the weights. `steps`: how long read-outs add up. `wide`: weights of two synapses.
    """

    messages: Mapping[str, int]
    largest_sum: float | None = None
    steps: int = READOUT_STEPS
    wide: bool = False


@dataclass(frozen=True, eq=False)
class QuantizedConnection:
    """A projection with integer weights: `weight * 2^exp / scale`, added up over its parts, is close to the map's weights."""

    projection: Projection
    weight: Integers
    exp: int


@dataclass(frozen=True, eq=False)
class QuantizedLayer:
    """A layer (its latency still 1), its connections, and what rounding did: plain values for the report."""

    layer: Layer
    connections: tuple[QuantizedConnection, ...]
    report: Mapping[str, Any]


def choices(neurons: Population, incoming: Sequence[Projection], frame: Frame) -> list[Choice]:
    """Roundings worth trying without clipping, the best first: smallest rounding error of the weights, then largest scale."""
    highest = limit(neurons, incoming, frame)
    top = highest if frame.wide and np.isfinite(highest) else scales.top_scale(neurons, incoming, highest)
    found = scales.candidates(neurons, incoming, top)
    if frame.wide:
        return [Choice(max(found))]
    return [Choice(s) for s in sorted(found, key=lambda s: (round(scales.error(incoming, s), 12), -s))]


def limit(neurons: Population, incoming: Sequence[Projection], frame: Frame) -> float:
    """The scale at which the first field would overflow."""
    largest = frame.largest_sum if frame.largest_sum is not None else _largest_sum(incoming, frame)
    return scales.ceiling(neurons, incoming, largest, frame.steps)


def quantize(neurons: Population, incoming: Sequence[Projection], frame: Frame, choice: Choice | None = None) -> QuantizedLayer:
    """Integers for one layer, by `choice` or by the best of `choices`; a scale is lowered where a field would overflow."""
    best = choice or choices(neurons, incoming, frame)[0]
    highest = limit(neurons, incoming, frame)
    scale = min(best.scale, highest)
    while True:
        connections = _shared([part for p in incoming for part in _integers(p, Choice(scale, best.reach), frame.wide)])
        bound = _bound(connections, frame)
        if frame.largest_sum is not None or bound <= scales.SUM_LIMIT:
            break
        highest = scale * scales.SUM_LIMIT / bound * 0.9999
        below = [c.scale for c in choices(neurons, incoming, frame) if c.scale <= highest] if choice is None else []
        scale = below[0] if below else highest
    return requantized(neurons, connections, replace(best, scale=scale), frame)


def requantized(
    neurons: Population, connections: tuple[QuantizedConnection, ...], choice: Choice, frame: Frame
) -> QuantizedLayer:
    """The layer around connections that are integers already, with its report."""
    scale = choice.scale
    made, bound = _layer(neurons, connections, choice), _bound(connections, frame)
    measured = frame.largest_sum is not None
    sums = {"largest_sum": int(frame.largest_sum * scale) if frame.largest_sum is not None else bound, "sum_measured": measured}
    return replace(made, report={**made.report, **sums})


def _layer(neurons: Population, connections: tuple[QuantizedConnection, ...], choice: Choice) -> QuantizedLayer:
    scale = choice.scale
    wanted = neurons.bias * scale
    whole = _multiples(wanted, 1.0) and float(np.max(np.abs(wanted), initial=0)) <= BIAS_LIMIT
    bias_exp = 6 if whole else _bias_exponent(wanted)
    ties = whole and (not neurons.leaks or _multiples(wanted, 2.0 ** (1 + min((c.exp for c in connections), default=0))))
    bias = np.clip(np.rint(wanted * 2.0 ** (6 - bias_exp)), -BIAS_LIMIT, BIAS_LIMIT)
    vth = _threshold(neurons, scale, ties)
    dv = _decay(neurons, vth, choice.decay)
    du = np.clip(4095 - np.rint(4096 * neurons.keep_u), 0, 4095)
    layer = Layer(
        name=neurons.name,
        shape=neurons.shape,
        du=_field(du, neurons.shape),
        dv=_field(dv, neurons.shape),
        vth=_field(vth, neurons.shape),
        bias=_field(bias, neurons.shape),
        bias_exp=bias_exp,
        reset=neurons.reset,
    )
    report: dict[str, Any] = {
        "scale": scale,
        "weight_error": _relative_error(connections, scale),
        "weights": sum(int(np.count_nonzero(maps.weights(p.map))) for p in _projections(connections)),
        "vanished": _vanished(connections),
        "bias_error": float(np.max(np.abs(bias * 2.0 ** (bias_exp - 6) - wanted), initial=0)) / scale,
        "decay_error": float(np.max(np.abs(dv / 4096 - (1 - neurons.keep_v)), initial=0)),
    }
    if neurons.spikes:
        report["threshold_error"] = float(np.max(np.abs(vth - neurons.threshold * scale), initial=0)) / scale
    return QuantizedLayer(layer, connections, report)


def _decay(neurons: Population, vth: NDArray[np.float64], how: str) -> NDArray[np.float64]:
    """Decay fields of the voltage; see `Choice`.

    What is left of v is cut towards zero, half a unit of 1/64 per step on average. At half the threshold that is as much leak
    as 64 / vth of the field, unless the field is 0; it matters where the leak is slow and the threshold small.
    """
    lost = 4096 * (1 - neurons.keep_v)
    if not neurons.leaks or how == "nearest":
        return np.asarray(np.clip(np.rint(lost), 0, 4095))
    cut = 64 / np.maximum(vth, 1)
    low = np.maximum(np.floor(lost - cut), 0)
    off_low = np.abs(low + cut * (low > 0) - lost)
    off_high = np.abs(low + 1 + cut - lost)
    return np.asarray(np.clip(np.where((off_high < off_low) != (how == "other"), low + 1, low), 0, 4095))


def _threshold(neurons: Population, scale: float, ties: bool) -> NDArray[np.float64]:
    """Threshold mantissas. Loihi fires at v > vth. `ties`: v is often a whole number and may meet a whole threshold exactly.

    Where v is always whole, v > x is v > floor(x) (also for a float just below a whole number), and v >= x is
    v > ceil(x) - 1. With a leak v is whole at first only, and v >= x is v > x - 1 for a whole x alone. Where biases keep v
    off the grid of the weights there are no ties to speak of, and the nearest threshold is taken.
    """
    if not neurons.spikes:
        return np.asarray(float(VTH_LIMIT))
    wanted, leaks = neurons.threshold * scale, neurons.leaks
    if not ties:
        vth = np.rint(wanted)
    elif leaks and neurons.comparison == ">=":
        near = np.rint(wanted)
        vth = np.where(np.abs(wanted - near) < 1e-6 * near, near - 1, near)
    elif leaks:
        vth = np.rint(wanted)
    elif neurons.comparison == ">":
        vth = np.floor(wanted * (1 + 1e-9))
    else:
        vth = np.ceil(wanted * (1 - 1e-9)) - 1
    return np.asarray(np.clip(vth, 0, VTH_LIMIT))


def _integers(projection: Projection, choice: Choice, wide: bool) -> list[QuantizedConnection]:
    """Even weights of one projection; with `wide`, a second connection holds what the first has rounded off."""
    floats = maps.weights(projection.map)
    exp = scales.exponent(choice.scale, projection.largest * choice.reach)
    rounded = scales.even(floats, choice.scale, exp)
    made = [_shaped(projection, rounded, exp)]
    if wide:
        rest = floats * floats.dtype.type(choice.scale) - rounded * floats.dtype.type(2**exp)
        low = scales.exponent(1.0, float(np.max(np.abs(rest), initial=0)))
        second = scales.even(rest, 1.0, low)
        if low < exp and np.any(second):
            made.append(_shaped(projection, second, low))
    return made


def _shared(connections: Sequence[QuantizedConnection]) -> tuple[QuantizedConnection, ...]:
    """Connections whose maps share their weights (paths that join before a layer) share the integers too."""
    seen: dict[tuple[int, int, bool], Integers] = {}  # the maps hold their weights, so that no id is used twice
    made = []
    for position, connection in enumerate(connections):
        first = position == 0 or connections[position - 1].projection is not connection.projection
        key = (id(connection.projection.map), connection.exp, first)
        made.append(replace(connection, weight=seen.setdefault(key, connection.weight)))
    return tuple(made)


def _shaped(projection: Projection, rounded: NDArray[Any], exp: int) -> QuantizedConnection:
    map_, weight = projection.map, rounded.astype(np.int16)
    if isinstance(map_, MatrixMap) and not isinstance(map_.weight, np.ndarray):
        from scipy import sparse

        rows = sparse.csr_array((weight, map_.weight.indices, map_.weight.indptr), shape=map_.weight.shape)
        return QuantizedConnection(projection, rows, exp)
    return QuantizedConnection(projection, weight, exp)


def _multiples(values: NDArray[np.float64], unit: float) -> bool:
    """Whether all values are whole multiples of a unit, float32 rounding aside."""
    return bool(np.all(np.abs(np.rint(values / unit) * unit - values) <= 1e-6 * np.maximum(1, np.abs(values))))


def _bias_exponent(wanted: NDArray[np.float64]) -> int:
    """The finest step (2^(exp - 6) units) in which the largest bias still fits its field."""
    largest = float(np.max(np.abs(wanted), initial=0))
    if largest == 0:
        return 6
    fits = (exp for exp in range(BIAS_EXP_LIMIT) if largest * 2.0 ** (6 - exp) <= BIAS_LIMIT)
    return next(fits, BIAS_EXP_LIMIT)


def _largest_sum(incoming: Sequence[Projection], frame: Frame) -> float:
    return _extreme([(p.map, maps.weights(p.map), frame.messages[p.source], frame.messages[p.source] > 1) for p in incoming])


def _bound(connections: Sequence[QuantizedConnection], frame: Frame) -> int:
    """The largest magnitude that any neuron's input sum can have."""
    parts = [
        (c.projection.map, integers(c), frame.messages[c.projection.source] << c.exp, frame.messages[c.projection.source] > 1)
        for c in connections
    ]
    return int(_extreme(parts))


def integers(connection: QuantizedConnection) -> NDArray[np.int16]:
    """The stored integer weights, in the layout of the map's."""
    values: NDArray[np.int16] = connection.weight if isinstance(connection.weight, np.ndarray) else connection.weight.data
    return values


def _extreme(parts: Sequence[tuple[LinearMap, NDArray[Any], int, bool]]) -> float:
    """Of all neurons, the largest sum of positive or of negative weights times the largest message; of magnitudes where
    messages have signs."""
    highest, lowest = np.zeros(()), np.zeros(())
    for map_, values, factor, signed in parts:
        positive, negative = _signed_sums(map_, values)
        if signed:
            positive, negative = positive - negative, negative - positive
        highest, lowest = highest + positive * factor, lowest + negative * factor
    return float(max(highest.max(initial=0), -lowest.min(initial=0)))


def _signed_sums(map_: LinearMap, values: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sums of the positive and of the negative weights onto each target; for a convolution those of its channel, which no
    pixel exceeds."""
    if isinstance(map_, ConvMap):
        rows, pixels = values.reshape(len(values), -1), map_.target[1] * map_.target[2]
        positive, negative = (np.asarray(part(rows, 0).sum(axis=1, dtype=np.float64)) for part in (np.maximum, np.minimum))
        return positive.repeat(pixels), negative.repeat(pixels)
    if isinstance(map_, MatrixMap) and not isinstance(map_.weight, np.ndarray):
        return _compressed_sums(map_.weight.indptr, values)
    positive, negative = (part(values, 0).sum(axis=1, dtype=np.float64) for part in (np.maximum, np.minimum))
    return positive, negative


def _compressed_sums(indptr: NDArray[Any], values: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same for compressed rows, some rows at a time."""
    sums = np.zeros((2, len(indptr) - 1))
    for first in range(0, len(indptr) - 1, ROWS):
        ends = indptr[first : first + ROWS + 1]
        part = values[ends[0] : ends[-1]]
        for side, cut in enumerate((np.maximum, np.minimum)):
            total = np.concatenate([[0.0], np.cumsum(cut(part, 0), dtype=np.float64)])
            sums[side, first : first + ROWS] = np.diff(total[ends - ends[0]])
    return sums[0], sums[1]


def _projections(connections: Sequence[QuantizedConnection]) -> list[Projection]:
    return list({id(c.projection): c.projection for c in connections}.values())


def _chunks(connections: Sequence[QuantizedConnection], projection: Projection) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """(floats, what the parts of a projection add up to in integer units), a stretch of weights at a time."""
    floats = maps.weights(projection.map).reshape(-1)
    parts = [(integers(c).reshape(-1), 2.0**c.exp) for c in connections if c.projection is projection]
    for start in range(0, len(floats), CHUNK):
        at = slice(start, start + CHUNK)
        yield floats[at].astype(np.float64), np.sum([whole[at] * unit for whole, unit in parts], axis=0)


def _relative_error(connections: Sequence[QuantizedConnection], scale: float) -> float:
    """Root mean square rounding error of the weights over their root mean square."""
    lost = total = 0.0
    for projection in _projections(connections):
        for floats, whole in _chunks(connections, projection):
            lost += float(np.sum((whole / scale - floats) ** 2))
            total += float(np.sum(floats**2))
    return float(np.sqrt(lost / total)) if total else 0.0


def _vanished(connections: Sequence[QuantizedConnection]) -> int:
    """Weights that are not zero in the network and zero in integers."""
    return sum(
        int(np.count_nonzero((floats != 0) & (whole == 0)))
        for projection in _projections(connections)
        for floats, whole in _chunks(connections, projection)
    )


def _field(values: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.int32]:
    array = np.asarray(values).astype(np.int32)
    return array if array.ndim == 0 else array.reshape(shape)
