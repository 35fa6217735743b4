"""Concatenation, which NIR has no node for: a layer that reads several values side by side becomes one layer per value.

Their outputs sum, as edges into one node do. What is not a Conv or Dense reads the values through layers of ones that put each
in its place.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import torch

from filopodia.errors import UnsupportedError

from .ops import Add, Conv, Dense, Graph, Join, Op, Previous


def split_joins(graph: Graph) -> Graph:
    """The same graph without `Join`."""
    while True:
        joins = [number for number, op in graph.ops.items() if isinstance(op.what, Join)]
        if not joins:
            return graph
        graph = _without(graph, max(joins))  # the last one first: what reads it is no Join itself


def _without(graph: Graph, join: int) -> Graph:
    parts = graph.ops[join].inputs
    starts = [0, *itertools.accumulate(graph.ops[part].shape[0] for part in parts)]
    readers = set(graph.readers(join))
    direct = {n for n in readers if _takes_channels(graph.ops[n])}
    ops: dict[int, Op] = {}
    fresh = itertools.count(max(graph.ops) + 1)
    for number, op in graph.ops.items():
        if number == join:
            if readers - direct or join in graph.outputs.values():
                placed = [_placed(op.shape, a, b) for a, b in itertools.pairwise(starts)]
                ops |= _summed(graph, number, op, parts, placed, fresh)
        elif number in direct:
            ops |= _summed(graph, number, op, parts, [_slice(op, a, b) for a, b in itertools.pairwise(starts)], fresh)
        else:
            ops[number] = op
    return graph.with_ops(ops)


def _takes_channels(op: Op) -> bool:
    return isinstance(op.what, Dense) or (isinstance(op.what, Conv) and op.what.groups == 1)


def _slice(op: Op, start: int, end: int) -> Dense | Conv:
    """The layer's weights for inputs `start` to `end`; the first slice carries the bias."""
    assert isinstance(op.what, Dense | Conv)
    return replace(op.what, weight=op.what.weight[:, start:end], bias=op.what.bias if start == 0 else None)


def _summed(
    graph: Graph, number: int, op: Op, parts: tuple[int, ...], layers: list[Dense | Conv], fresh: itertools.count[int]
) -> dict[int, Op]:
    """One layer per part and the additions between them; the last addition is called `number`."""
    ops: dict[int, Op] = {}
    total: int | None = None
    fed_back = [isinstance(graph.ops[part].what, Previous) for part in parts].count(False) == 1
    for k, (part, layer) in enumerate(zip(parts, layers, strict=True)):
        back = isinstance(graph.ops[part].what, Previous)
        one = next(fresh)
        name = f"{op.name}.recurrent" if back else op.name if fed_back else f"{op.name}.{k}"
        ops[one] = Op(name, layer, (part,), op.shape)
        if total is None:
            total = one
            continue
        end = number if k == len(parts) - 1 else next(fresh)
        ops[end] = Op(f"{op.name}.sum", Add(), (total, one), op.shape, binary=op.binary and end == number)
        total = end
    return ops


def _placed(shape: tuple[int, ...], start: int, end: int) -> Dense | Conv:
    """A layer that puts its channels at `start` to `end` of `shape`, zeros elsewhere."""
    rank = len(shape) - 1
    if rank > 2:
        raise UnsupportedError(f"values of shape {list(shape)}", where="concatenation", allowed="vectors and feature maps")
    weight = torch.eye(shape[0])[:, start:end]
    if rank == 0:
        return Dense(weight, None)
    ones, zeros = (1,) * rank, (0,) * rank
    return Conv(weight.reshape(*weight.shape, *ones), None, ones, zeros, ones, 1)
