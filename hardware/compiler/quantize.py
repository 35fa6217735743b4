"""Quantisation: a population and what reaches it become integers that Lava and Loihi read the same way.

Even weights within +-254 and an exponent >= 0 per connection, one scale per layer, thresholds, decays and biases in the range
of their fields, and input sums below 2^15 proved from the weights. Zero weights stay zero; others that vanish are counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.hardware.compiler import maps
from filopodia.hardware.compiler import scale as scales
from filopodia.hardware.compiler.lower import Projection
from filopodia.hardware.compiler.maps import ConvMap, LinearMap, MatrixMap
from filopodia.hardware.compiler.neurons import Population
from filopodia.hardware.program import Layer

Integers = Any
"""int16 weights in the layout of the map they come from: an array, or a csr_array."""


@dataclass(frozen=True, eq=False)
class QuantizedConnection:
    """A projection with integer weights: `weight * 2^exp / scale` is close to the map's own weights."""

    projection: Projection
    weight: Integers
    exp: int
    vanished: int


@dataclass(frozen=True, eq=False)
class QuantizedLayer:
    """A layer (its latency still 1), its connections, and what rounding did: plain values for the report."""

    layer: Layer
    connections: tuple[QuantizedConnection, ...]
    report: Mapping[str, Any]


def quantize(
    neurons: Population,
    incoming: Sequence[Projection],
    sizes: Mapping[str, int],
    messages: Mapping[str, int],
    scale: float | None = None,
) -> QuantizedLayer:
    """Integers for one layer.

    `sizes` and `messages`: neurons and the largest message (1 for spikes) per source. `scale` asks for this scale; it is only
    lowered where a field would overflow. Without one, the scale with the smallest rounding error of the weights is taken.
    """
    ceiling = scales.largest_scale(neurons, incoming, _largest_sum(neurons, incoming, messages))
    while True:
        if scale is None:
            choices = scales.candidates(neurons, incoming, ceiling)
            chosen = min(choices, key=lambda s: (round(scales.error(incoming, s), 12), -s))
        else:
            chosen = min(scale, ceiling)
        connections = tuple(_integers(p, chosen) for p in incoming)
        bound = _bound(neurons, connections, messages)
        if bound <= scales.SUM_LIMIT:
            break
        ceiling = chosen * scales.SUM_LIMIT / bound * 0.999
    return QuantizedLayer(*_layer(neurons, connections, chosen, bound))


def _layer(
    neurons: Population, connections: tuple[QuantizedConnection, ...], scale: float, bound: int
) -> tuple[Layer, tuple[QuantizedConnection, ...], Mapping[str, Any]]:
    wanted = neurons.bias * scale
    on_grid = not neurons.leaks and bool(np.all(np.abs(np.rint(wanted) - wanted) <= 1e-6 * np.maximum(1, np.abs(wanted))))
    bias_exp = 6 if on_grid else _bias_exponent(wanted)
    bias = np.clip(np.rint(wanted * 2.0 ** (6 - bias_exp)), -scales.BIAS_LIMIT, scales.BIAS_LIMIT)
    threshold = neurons.threshold * scale
    # On the grid v is a whole number: v > threshold is v > floor(threshold), also for a float just below a whole number.
    vth = np.floor(threshold * (1 + 1e-9)) if on_grid else np.ceil(threshold * (1 - 1e-9) - 0.5)
    vth = np.clip(vth, 0, scales.VTH_LIMIT)
    dv = np.clip(np.rint(4096 * (1 - neurons.keep_v)), 0, 4095)
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
    report = {
        "scale": scale,
        "largest_sum": bound,
        "weight_error": _relative_error(connections, scale),
        "vanished": sum(c.vanished for c in connections),
        "bias_error": float(np.max(np.abs(bias * 2.0 ** (bias_exp - 6) - wanted), initial=0)) / scale,
        "threshold_error": float(np.max(np.abs(vth - threshold), initial=0)) / scale,
        "decay_error": float(np.max(np.abs(dv / 4096 - (1 - neurons.keep_v)), initial=0)),
    }
    return layer, connections, report


def _integers(projection: Projection, scale: float) -> QuantizedConnection:
    map_ = projection.map
    exp = scales.exponent(scale, maps.largest(map_))
    floats = maps.weights(map_)
    rounded = scales.even(floats, scale, exp).astype(np.int16)
    vanished = int(np.count_nonzero(floats) - np.count_nonzero(rounded))
    if isinstance(map_, MatrixMap) and not isinstance(map_.weight, np.ndarray):
        from scipy import sparse

        weight = sparse.csr_array((rounded, map_.weight.indices, map_.weight.indptr), shape=map_.weight.shape)
        weight.sort_indices()
        return QuantizedConnection(projection, weight, exp, vanished)
    return QuantizedConnection(projection, rounded, exp, vanished)


def _bias_exponent(wanted: NDArray[np.float64]) -> int:
    """The finest step (2^(exp - 6) units) in which the largest bias still fits its field."""
    largest = float(np.max(np.abs(wanted), initial=0))
    if largest == 0:
        return 6
    return next(
        (exp for exp in range(scales.BIAS_EXP_LIMIT) if largest * 2.0 ** (6 - exp) <= scales.BIAS_LIMIT), scales.BIAS_EXP_LIMIT
    )


def _largest_sum(neurons: Population, incoming: Sequence[Projection], messages: Mapping[str, int]) -> float:
    total = _extremes(neurons, [(p.map, maps.weights(p.map), messages[p.source]) for p in incoming])
    return float(total.max(initial=0))


def _bound(neurons: Population, connections: Sequence[QuantizedConnection], messages: Mapping[str, int]) -> int:
    """The largest magnitude that any neuron's input sum can have."""
    parts = [(c.projection.map, maps.weights(MatrixMap(c.weight)), messages[c.projection.source] << c.exp) for c in connections]
    return int(_extremes(neurons, parts).max(initial=0))


def _extremes(neurons: Population, parts: Sequence[tuple[LinearMap, NDArray[Any], int]]) -> NDArray[np.float64]:
    """Per neuron, the larger of the sums of positive and of negative weights times the largest message: [n] or []."""
    highest, lowest = np.zeros(()), np.zeros(())
    for map_, values, factor in parts:
        positive, negative = _row_sums(map_, np.maximum(values, 0)), _row_sums(map_, np.minimum(values, 0))
        highest, lowest = highest + positive * factor, lowest + negative * factor
    return np.maximum(highest, -lowest)


def _row_sums(map_: LinearMap, values: NDArray[Any]) -> NDArray[np.float64]:
    """Sum of the weights onto each target; for a convolution that of its channel, which no pixel exceeds when signs agree."""
    if isinstance(map_, ConvMap):
        return np.asarray(values.sum(axis=(1, 2, 3), dtype=np.float64)).repeat(map_.target[1] * map_.target[2])
    if isinstance(map_, MatrixMap):
        if isinstance(map_.weight, np.ndarray):
            return np.asarray(values.sum(axis=1, dtype=np.float64))
        ends = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
        sums: NDArray[np.float64] = ends[map_.weight.indptr[1:]] - ends[map_.weight.indptr[:-1]]
        return sums
    return values.astype(np.float64)


def _relative_error(connections: Sequence[QuantizedConnection], scale: float) -> float:
    """Root mean square rounding error of the weights over their root mean square."""
    lost = total = 0.0
    for connection in connections:
        floats = maps.weights(connection.projection.map).reshape(-1)
        rounded = maps.weights(MatrixMap(connection.weight)).reshape(-1) * (2.0**connection.exp / scale)
        lost += float(np.sum((rounded - floats) ** 2, dtype=np.float64))
        total += float(np.sum(floats.astype(np.float64) ** 2))
    return float(np.sqrt(lost / total)) if total else 0.0


def _field(values: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.int32]:
    array = np.asarray(values).astype(np.int32)
    return array if array.ndim == 0 else array.reshape(shape)
