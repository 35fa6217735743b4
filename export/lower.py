"""From what torch does to what NIR can say: passes over the graph, each exact or refused.

BatchNorm, constant factors and constant additions move into the weights before them; max pooling of spikes becomes a sum and
a step; a vote at the end becomes the read-out. What nothing reads is dropped.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from filopodia.errors import UnsupportedError

from .affine import scaled, shifted
from .joins import split_joins
from .ops import Conv, Dense, Gain, Graph, Neuron, Norm, Op, Pool, Shift, Step


def lower(graph: Graph) -> Graph:
    """The same computation in operations that each have a NIR node (additions aside, which are edges)."""
    passes = (
        vote_as_readout,
        undivided_inputs,
        absorb,
        split_joins,
        max_pool_of_spikes,
        pools_of_sequences,
        remaining_affine,
        drop_unread,
    )
    for rewrite in passes:
        graph = rewrite(graph)
    return graph


def vote_as_readout(graph: Graph) -> Graph:
    """A VotingLayer at the end of a model with one output becomes `votes`; its spikes become the output."""
    from spikingjelly.activation_based.layer import VotingLayer

    if len(graph.outputs) != 1:
        return graph
    ((name, number),) = graph.outputs.items()
    op = graph.ops[number]
    if not isinstance(op.module, VotingLayer) or graph.readers(number):
        return graph
    ops = {n: o for n, o in graph.ops.items() if n != number}
    return replace(graph, ops=ops, outputs={name: op.inputs[0]}, votes=int(op.module.voting_size))


def undivided_inputs(graph: Graph) -> Graph:
    """LIF neurons that do not divide their input by tau (`decay_input=False`) get it multiplied by tau instead."""
    ops: dict[int, Op] = {}
    fresh = max(graph.ops) + 1
    for number, op in graph.ops.items():
        if isinstance(op.what, Neuron) and op.what.kind == "lif" and not op.what.decay_input:
            tau = torch.tensor(op.what.tau, dtype=torch.float64)
            ops[fresh] = Op(f"{op.name}.tau", Gain(tau), op.inputs, graph.ops[op.inputs[0]].shape)
            op, fresh = replace(op, what=replace(op.what, decay_input=True), inputs=(fresh,)), fresh + 1
        ops[number] = op
    return graph.with_ops(ops)


def absorb(graph: Graph, kinds: tuple[type, ...] = (Norm, Gain, Shift)) -> Graph:
    """Move each BatchNorm, factor and constant into the Conv or Dense before it, where that is all that reads it."""
    ops = dict(graph.ops)
    kept_outputs = dict(graph.outputs)
    moved: dict[int, int] = {}
    readers = {number: len(graph.readers(number)) for number in ops}
    for number, op in graph.ops.items():
        inputs = tuple(moved.get(n, n) for n in op.inputs)
        ops[number] = op = replace(op, inputs=inputs)
        if not isinstance(op.what, kinds):
            continue
        source = ops[inputs[0]]
        if not isinstance(source.what, Dense | Conv) or readers[op.inputs[0]] != 1 or op.inputs[0] in graph.outputs.values():
            continue
        merged = _merged(source.what, op)
        if merged is not None:
            ops[inputs[0]] = replace(source, what=merged)
            moved[number] = inputs[0]
            readers[inputs[0]] = readers[number]
            del ops[number]
    outputs = {name: moved.get(n, n) for name, n in kept_outputs.items()}
    return replace(graph, ops=ops, outputs=outputs)


def _merged(layer: Dense | Conv, op: Op) -> Dense | Conv | None:
    """`layer` with what `op` does to its output, or None where that differs within a channel."""
    if isinstance(op.what, Norm):
        return shifted(scaled(layer, op.what.scale), op.what.shift)
    constant = per_channel(op.what.factor if isinstance(op.what, Gain) else op.what.constant, op.shape)  # type: ignore[union-attr]
    if constant is None:
        return None
    return scaled(layer, constant) if isinstance(op.what, Gain) else shifted(layer, constant)


def per_channel(constant: Tensor, shape: tuple[int, ...]) -> Tensor | None:
    """A constant over `shape` as one value per channel, float64 [channels], or None where it differs within a channel."""
    full = torch.broadcast_to(constant.double(), shape).reshape(shape[0], -1)
    return full[:, 0].clone() if bool((full == full[:, :1]).all()) else None


def max_pool_of_spikes(graph: Graph) -> Graph:
    """The maximum of spikes is 1 where their sum is above 0.5: exact for 0 and 1, and for nothing else."""
    ops: dict[int, Op] = {}
    fresh = max(graph.ops) + 1
    for number, op in graph.ops.items():
        if isinstance(op.what, Pool) and op.what.kind == "max":
            source = graph.ops[op.inputs[0]]
            if not source.binary:
                raise UnsupportedError(
                    f"max pooling of {source.name}, which is not spikes",
                    where=op.name,
                    allowed="max pooling behind spiking neurons (or of an input of zeros and ones)",
                    fix="pool after the neuron, or use average pooling",
                )
            ops[fresh] = replace(op, name=f"{op.name}.sum", what=replace(op.what, kind="sum"), module=None, binary=False)
            op, fresh = replace(op, what=Step(0.5), inputs=(fresh,), binary=True), fresh + 1
        ops[number] = op
    return graph.with_ops(ops)


def pools_of_sequences(graph: Graph) -> Graph:
    """Pooling of one-dimensional signals, for which NIR has no node, as a convolution of each channel."""
    ops: dict[int, Op] = {}
    for number, op in graph.ops.items():
        if isinstance(op.what, Pool) and len(op.what.kernel) == 1:
            pool, channels = op.what, op.shape[0]
            weight = torch.ones(channels, 1, *pool.kernel)
            if pool.kind == "average":
                weight = weight / pool.kernel[0]
            op = replace(op, what=Conv(weight, None, pool.stride, pool.padding, (1,), channels))
        ops[number] = op
    return graph.with_ops(ops)


def remaining_affine(graph: Graph, kinds: tuple[type, ...] = (Norm, Shift)) -> Graph:
    """BatchNorms and constants that no layer before them could take become a layer of their own: a diagonal and a bias."""
    ops: dict[int, Op] = {}
    for number, op in graph.ops.items():
        if isinstance(op.what, kinds):
            ops[number] = replace(op, what=_diagonal(op))
        else:
            ops[number] = op
    return graph.with_ops(ops)


def _diagonal(op: Op) -> Dense | Conv:
    channels, rank = op.shape[0], len(op.shape) - 1
    shift = op.what.shift if isinstance(op.what, Norm) else per_channel(op.what.constant, op.shape)  # type: ignore[union-attr]
    if shift is None or rank > 2:
        raise UnsupportedError("a constant that differs within a channel", where=op.name, allowed="one constant per channel")
    scale = op.what.scale if isinstance(op.what, Norm) else torch.ones(channels, dtype=torch.float64)
    if rank == 0:
        return Dense(torch.diag(scale).float(), shift.float())
    ones, zeros = (1,) * rank, (0,) * rank
    return Conv(scale.float().reshape(channels, 1, *ones), shift.float(), ones, zeros, ones, channels)


def drop_unread(graph: Graph) -> Graph:
    """Without the operations that no output depends on; an input among them is an error."""
    needed = set(graph.outputs.values())
    pending = list(needed)
    while pending:
        for source in graph.ops[pending.pop()].inputs:
            if source not in needed:
                needed.add(source)
                pending.append(source)
    for name, number in graph.inputs.items():
        if number not in needed:
            raise UnsupportedError("no output depends on this input", where=name, fix="take it out of the model's forward")
    return graph.with_ops({number: op for number, op in graph.ops.items() if number in needed})
