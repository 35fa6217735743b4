"""Sums that come out the same in any order, so that torch, onnxruntime, numpy and a chip agree to the last bit.

Floats are added in a different order by every library, and the last bit of a sum can decide a spike when the voltage meets the
threshold. But a sum of numbers that are all multiples of one power of two g, and whose absolute values sum to no more than
2^24 g, is exact in float32: no rounding ever happens, whatever the order. Spikes times weights on such a grid are such numbers.
`snapped` puts a layer's weights on the finest grid that holds, per output channel; that moves a weight by about as much as
float32 itself rounds the sum (2^-24 of the sum of absolute weights).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .ops import Add, Conv, Dense, Flat, Gain, Graph, Join, Neuron, Op, Pool, Previous, Shift, Source, Step

BITS = 24  # whole numbers up to 2^24 are float32
ROWS = 32  # output channels looked at together, so that large layers need little memory
COARSEST = 2.0**-12  # a grid's step, of the largest weight of the channel


@dataclass(frozen=True)
class Grid:
    """Values that are multiples of `step`, a power of two, and no larger than `most`."""

    step: float
    most: float


def grids(graph: Graph) -> dict[int, Grid | None]:
    """What is known of each operation's output; None where it can be any float. Weights are taken as they are."""
    found: dict[int, Grid | None] = {}
    for number, op in graph.ops.items():
        found[number] = _grid(op, [found.get(source) for source in op.inputs])
    return found


def _grid(op: Op, into: list[Grid | None]) -> Grid | None:
    what = op.what
    if op.binary or isinstance(what, Step | Previous):
        return Grid(1.0, 1.0)
    known = [grid for grid in into if grid is not None]
    if isinstance(what, Source | Neuron) or not known or len(known) < len(into):
        return None
    first = known[0]
    if isinstance(what, Dense | Conv):
        lowest, total = _lowest_bit(what, first), _totals(what, first.most)
        return Grid(lowest, float(total.max())) if _holds(what, first) else None
    if isinstance(what, Flat):
        return first
    if isinstance(what, Add | Join):
        step, most = min(g.step for g in known), [g.most for g in known]
        return Grid(step, sum(most) if isinstance(what, Add) else max(most))
    if isinstance(what, Pool):
        area = math.prod(what.kernel)
        if what.kind == "sum":
            return Grid(first.step, first.most * area)
        return Grid(first.step / area, first.most) if what.kind == "average" and math.log2(area).is_integer() else None
    if isinstance(what, Gain) and what.factor.numel() == 1:
        factor = abs(float(what.factor))
        return Grid(first.step * factor, first.most * factor) if factor and math.log2(factor).is_integer() else None
    if isinstance(what, Shift) and what.constant.numel() == 1:
        constant = abs(float(what.constant))
        return Grid(first.step, first.most + constant) if (constant / first.step).is_integer() else None
    return None


def order_dependent(graph: Graph) -> list[str]:
    """Names of the Conv and Dense layers whose sums may round, and so depend on the order in which they are added."""
    known = grids(graph)
    names = []
    for op in graph.ops.values():
        if isinstance(op.what, Dense | Conv):
            grid = known[op.inputs[0]]
            if grid is None or not _holds(op.what, grid):
                names.append(op.name)
    return names


def snapped(graph: Graph) -> Graph:
    """The graph with weights on grids that make sums exact, where the input is on a grid. Only what was 0 is 0."""
    ops = dict(graph.ops)
    found: dict[int, Grid | None] = {}
    for number, op in graph.ops.items():
        grid = found.get(op.inputs[0]) if op.inputs else None
        if isinstance(op.what, Dense | Conv) and grid is not None and not _holds(op.what, grid):
            snap = _snap(op.what, grid)
            if snap is not None:
                ops[number] = op = replace(op, what=snap)
        found[number] = _grid(op, [found.get(source) for source in op.inputs])
    return graph.with_ops(ops)


def _snap(layer: Dense | Conv, grid: Grid) -> Dense | Conv | None:
    """The layer on a grid, or None where that would be too coarse: inputs can take the bits that weights need."""
    weight = layer.weight.detach().double()
    total = torch.from_numpy(_totals(layer, grid.most))
    # one bit to spare, since rounding can make the sum of absolute values larger
    step = torch.exp2(torch.ceil(torch.log2(torch.clamp(total / grid.step, min=1e-30))) - (BITS - 1))
    largest = weight.abs().flatten(1).amax(1)
    if bool(((step > largest * COARSEST) & (largest > 0)).any()):
        return None
    per_weight = step.reshape(-1, *[1] * (weight.ndim - 1))
    whole = torch.round(weight / per_weight)
    whole = torch.where((whole == 0) & (weight != 0), torch.sign(weight), whole)
    bias = layer.bias
    if bias is not None:
        fine = step * grid.step
        bias = (torch.round(bias.double() / fine) * fine).float()
    return replace(layer, weight=(whole * per_weight).float(), bias=bias)


def _totals(layer: Dense | Conv, most: float) -> NDArray[np.float64]:
    """The largest that the absolute values summed in each output channel can be, float64 [channels]."""
    rows = layer.weight.detach().flatten(1)
    weight = torch.cat([part.double().abs().sum(1) for part in rows.split(ROWS)]) * most
    if layer.bias is not None:
        weight = weight + layer.bias.detach().double().abs()
    return np.asarray(weight.numpy())


def _lowest_bit(layer: Dense | Conv, grid: Grid) -> float:
    lowest = float(_lowest_bits(layer.weight).min()) * grid.step
    return min(lowest, float(_lowest_bits(layer.bias.reshape(-1, 1)).min())) if layer.bias is not None else lowest


def _holds(layer: Dense | Conv, grid: Grid) -> bool:
    """Whether all sums of the layer are exact for inputs on `grid`."""
    lowest = _lowest_bits(layer.weight) * grid.step
    if layer.bias is not None:
        lowest = np.minimum(lowest, _lowest_bits(layer.bias.reshape(-1, 1)))
    return bool((_totals(layer, grid.most) <= lowest * 2.0**BITS).all())


def _lowest_bits(values: Tensor) -> NDArray[np.float64]:
    """The largest power of two that divides every value of each row; infinity where all are 0."""
    parts = values.detach().float().flatten(1).split(ROWS)
    return np.concatenate([_lowest_bits_of(part.numpy()) for part in parts])


def _lowest_bits_of(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    mantissa, exponent = np.frexp(rows)
    whole = np.abs(mantissa * np.float32(2.0**BITS)).astype(np.int64)
    lowest = np.where(whole == 0, np.inf, (whole & -whole).astype(np.float64) * np.exp2(exponent.astype(np.float64) - BITS))
    return np.asarray(lowest.min(axis=1))
