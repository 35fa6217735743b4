"""What kernel S needs to know of a layer, or of a weighted count of spikes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from filopodia.hardware.program import Connection, Conv, Layer, Program
from filopodia.hardware.simulator import adders
from filopodia.hardware.simulator.adders import Adders
from filopodia.hardware.simulator.counting import fan_out
from filopodia.hardware.simulator.digits import Rows
from filopodia.hardware.simulator.plan import Node, bias_of, binary, each, fading, largest_sum, layout, rows, trailing_zeros

COUNTED = 256  # neurons per row of a weighted count, fewer where its 24 bits demand it


@dataclass(frozen=True)
class LanePlan:
    """What kernel S needs for one layer, `bases` and `out` still counted from the nodes' own first vectors."""

    adders: Adders
    sources: tuple[str, ...]
    bases: NDArray[np.int64]  # [source, place]
    out_row: NDArray[np.int64]
    out_place: NDArray[np.int64]
    row_length: int  # places side by side that can be served together, all reading neighbours
    params: tuple[NDArray[np.int32], ...]  # keep_u, keep_v (times 2^(fraction - 12)), bias, threshold: one, or one per neuron
    planes: int
    memoryless: bool
    bounded: bool
    biased: bool
    fraction: int
    subtract: bool
    up: int
    down: int

    @cached_property
    def _places(self) -> dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]]:
        return {}

    def runs(self, length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Places that begin `length` places served together, and the places left."""
        if length not in self._places:
            places = np.arange(len(self.out_place))
            x = places % self.row_length
            whole = (x < self.row_length // length * length) & (length > 1)
            self._places[length] = places[whole & (x % length == 0)], places[~whole]
        return self._places[length]


def plan_layer(program: Program, nodes: dict[str, Node], layer: Layer, unit: int) -> LanePlan | None:
    """Tables for a layer, vectors being `unit` words, or None where kernel S cannot serve.

    That is: graded or delayed messages, loops, sums past 24 bits, rows of so many digits that the scratch does not do.
    """
    into = program.into(layer.name)
    exponents = [c.weight_exp for c in into]
    if not into or any(program.lag(c) != 0 or not binary(program, c) for c in into):
        return None
    lowest = min(exponents)
    if lowest < 0 and len(set(exponents)) > 1:
        return None
    largest = sum(largest_sum(c) << (c.weight_exp - lowest) for c in into)
    if largest >= 2**23 or largest * 2.0 ** max(lowest, 0) >= 2**23:
        return None
    target = nodes[layer.name]
    convolved = [isinstance(c.synapses, Conv) for c in into]
    if any(convolved) and not all(convolved):
        return None
    sources = [_conv_rows(program, nodes, c) if isinstance(c.synapses, Conv) else _matrix_rows(nodes, c) for c in into]
    scaled = [abs(data) << (e - lowest) for (_, _, data), e in zip(sources, exponents, strict=True)]
    zeros = trailing_zeros(*scaled)
    scales = [(e - lowest, zeros) for e in exponents]
    if max(int(data.max(initial=0)) for data in scaled) >> zeros >= 2**21:
        return None
    planes = 16 if largest >> zeros < 2**15 else 24
    sums = adders.build(sources, scales, unit, planes)
    if sums is None:
        return None
    shift = lowest + zeros
    if any(convolved):
        bases = np.stack([_conv_bases(program, nodes, c) for c in into])
        out_row, out_place = target.area * np.arange(target.channels), target.homes
    else:
        bases = np.zeros((len(into), 1), np.int64)
        out_row, out_place = target.neurons, np.zeros(1, np.int64)
    memoryless = bool((layer.du == 4095).all()) and largest * 2.0 ** max(lowest, 0) < 2**17
    # |v| stays below drive / (dv / 4096), the sum of what a leak leaves of a constant drive
    bias = bias_of(layer)
    drive = largest * 2.0 ** max(lowest, 0) * 64 + float(np.abs(bias).max())
    leak, lowest_threshold = int(layer.dv.min()), int(layer.vth.min())
    highest = drive * (4096 / leak + 1) if leak > 0 else 2.0**23
    bounded = memoryless and leak > 0 and lowest_threshold >= 0 and highest < 2**23
    keep_v, fraction = fading(layer, highest if bounded else 2.0**23)
    values = (4095 - layer.du.astype(np.int32), keep_v, bias, np.left_shift(layer.vth, 6))
    params = tuple(
        np.ascontiguousarray(np.asarray(x, np.int32).reshape(-1)[: None if each(np.asarray(x), layer) else 1]) for x in values
    )
    up, down = (shift + 6, 0) if shift >= 0 else (0, -shift)
    rowwise = params[2].size in (1, len(out_row))
    if memoryless and down == 0 and rowwise and not (bias % (1 << up)).any():  # then it can be added to the sums
        extra = params[2].astype(np.int64) >> up
        if (largest >> zeros) + int(np.abs(extra).max()) < 2 ** (planes - 1):
            sums = replace(sums, constants=(sums.constants - extra).astype(np.int32))
            params = (*params[:2], np.zeros(1, np.int32), params[3])
    return LanePlan(
        sums,
        tuple(c.source for c in into),
        bases.astype(np.int64),
        out_row.astype(np.int64),
        out_place.astype(np.int64),
        _row_length(nodes, into, target, params),
        params,
        planes,
        memoryless,
        bounded,
        bool(params[2].any()),
        fraction,
        layer.reset == "subtract",
        up,
        down,
    )


def _row_length(
    nodes: dict[str, Node], into: tuple[Connection, ...], target: Node, params: tuple[NDArray[np.int32], ...]
) -> int:
    """How many places side by side read places side by side and share their parameters."""
    alike = all(x.size == 1 or (np.ptp(x.reshape(target.channels, -1), axis=1) == 0).all() for x in params)
    apart = any(not isinstance(c.synapses, Conv) or c.synapses.stride[1] != nodes[c.source].pace for c in into)
    return target.width if alike and not apart else 1


def plan_count(weights: NDArray[np.int64], node: Node, unit: int) -> Adders:
    """Rows that add up `weights` [size] (the user's order) over a node's spikes."""
    chosen = np.flatnonzero(weights)
    per_row = max(1, min(COUNTED, 2**23 // max(int(weights.max(initial=0)), 1)))
    starts = np.append(np.arange(0, len(chosen), per_row), len(chosen)).astype(np.int64)
    if len(starts) == 1:
        starts = np.zeros(2, np.int64)
    found = adders.build([(starts, node.neurons[chosen], weights[chosen].astype(np.int64))], [(0, 0)], unit)
    assert found is not None  # rows are short
    return found


def plan_synops(program: Program, nodes: dict[str, Node], connection: Connection, unit: int) -> Adders:
    """Rows that count the synapses reached by the spikes of a connection's source."""
    return plan_count(fan_out(program, connection), nodes[connection.source], unit)


def _matrix_rows(nodes: dict[str, Node], connection: Connection) -> Rows:
    starts, columns, data = rows(connection)
    source = nodes[connection.source]
    return starts.astype(np.int64), source.neurons[columns], data.astype(np.int64)


def _conv_rows(program: Program, nodes: dict[str, Node], connection: Connection) -> Rows:
    """Rows of a kernel: vectors counted from the first tap of an output place."""
    conv, source = connection.synapses, nodes[connection.source]
    assert isinstance(conv, Conv)
    g = layout(program, connection)
    out, within, k_y, k_x = np.nonzero(conv.weight)
    channel = within + out // (g.c_out // conv.groups) * (g.c_in // conv.groups)
    first = source.corner[1] - conv.padding[1]
    place = source.home(k_y * conv.dilation[0], first + k_x * conv.dilation[1])
    starts = np.searchsorted(out, np.arange(g.c_out + 1)).astype(np.int64)
    data = conv.weight[out, within, k_y, k_x].astype(np.int64)
    return starts, source.area * channel + place, data


def _conv_bases(program: Program, nodes: dict[str, Node], connection: Connection) -> NDArray[np.int64]:
    """The vector of the first tap of every output place."""
    conv, source = connection.synapses, nodes[connection.source]
    assert isinstance(conv, Conv)
    g = layout(program, connection)
    y = np.arange(g.h_out) * conv.stride[0] - conv.padding[0] + source.corner[0]
    x = np.arange(g.w_out) * conv.stride[1] // source.pace
    bases: NDArray[np.int64] = (y[:, None] * source.grid[1] + x).reshape(-1)
    return bases
