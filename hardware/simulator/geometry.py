"""Shapes: what a connection joins, and whether a program's arrays fit each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from filopodia.errors import InputError
from filopodia.hardware.program import Connection, Conv, Dense, Input, Layer, Program, Sparse


@dataclass(frozen=True)
class Grid:
    """A convolution laid out: [channels, height, width] on both sides, and the channels of one group."""

    c_in: int
    h_in: int
    w_in: int
    c_out: int
    h_out: int
    w_out: int


def image(shape: tuple[int, ...], where: str) -> tuple[int, int, int]:
    """[channels, height, width] of a layer; a signal [channels, length] has height 1."""
    if len(shape) == 3:
        return (shape[0], shape[1], shape[2])
    if len(shape) == 2:
        return (shape[0], 1, shape[1])
    raise InputError(
        f"a convolution cannot read shape {list(shape)}", where=where, allowed="[channels, height, width] or [channels, length]"
    )


def grid(connection: Connection, source: tuple[int, ...], target: tuple[int, ...]) -> Grid:
    """Both sides of a convolution. Raises InputError where weight, source and target do not fit."""
    conv = connection.synapses
    assert isinstance(conv, Conv)
    where = f"connection {connection.name}"
    if conv.weight.ndim != 4:
        raise InputError(f"weight of shape {list(conv.weight.shape)}", where=where, allowed="[c_out, c_in / groups, k_h, k_w]")
    c_in, h_in, w_in = image(source, where)
    c_out, per_group, k_h, k_w = conv.weight.shape
    if conv.groups < 1 or c_in != per_group * conv.groups or c_out % conv.groups:
        raise InputError(
            f"{c_in} channels into weight {list(conv.weight.shape)} with {conv.groups} groups",
            where=where,
            allowed="c_in = weight.shape[1] * groups, and c_out divisible by groups",
        )
    if min(*conv.stride, *conv.dilation) < 1 or min(conv.padding) < 0:
        raise InputError(
            f"stride {conv.stride}, dilation {conv.dilation}, padding {conv.padding}",
            where=where,
            allowed="stride and dilation at least 1, padding at least 0",
        )
    h_out = (h_in + 2 * conv.padding[0] - conv.dilation[0] * (k_h - 1) - 1) // conv.stride[0] + 1
    w_out = (w_in + 2 * conv.padding[1] - conv.dilation[1] * (k_w - 1) - 1) // conv.stride[1] + 1
    if h_out < 1 or w_out < 1 or image(target, where) != (c_out, h_out, w_out):
        raise InputError(
            f"the convolution gives [{c_out}, {h_out}, {w_out}], the target has shape {list(target)}",
            where=where,
            allowed="the same shape",
        )
    return Grid(c_in, h_in, w_in, c_out, h_out, w_out)


def check(program: Program) -> None:
    """Raise InputError where a program's arrays do not fit each other or are outside what int32 arithmetic holds."""
    nodes: tuple[Input | Layer, ...] = (*program.inputs, *program.layers)
    order = {node.name: position for position, node in enumerate(nodes)}
    if not program.inputs or not program.layers:
        raise InputError("a program without inputs or without layers", where="program")
    for output in program.outputs:
        if output not in program.nodes:
            raise InputError(f"no layer named {output}", where="program outputs", allowed=", ".join(order))
    for layer in program.layers:
        _check_layer(layer)
    for connection in program.connections:
        if isinstance(program.nodes[connection.target], Input):
            raise InputError("an input cannot be a target", where=f"connection {connection.name}")
        if program.lag(connection) == 0 and order[connection.source] >= order[connection.target]:
            raise InputError(
                "the target needs the message in the step in which it is made, but comes first",
                where=f"connection {connection.name}",
                allowed="layers in topological order; lag at least 1 on a recurrent connection",
            )
        _check_connection(connection, program.nodes[connection.source].shape, program.nodes[connection.target].shape)


def _check_layer(layer: Layer) -> None:
    where = f"layer {layer.name}"
    limits = {"du": (-1, 4095), "dv": (0, 4096), "vth": (-(2**24), 2**24), "bias": (-(2**15), 2**15 - 1)}
    for name, (low, high) in limits.items():
        value = np.asarray(getattr(layer, name))
        if value.shape not in ((), layer.shape):
            raise InputError(f"{name} of shape {list(value.shape)}", where=where, allowed=f"[] or {list(layer.shape)}")
        if not np.issubdtype(value.dtype, np.integer):
            raise InputError(f"{name} of type {value.dtype}", where=where, allowed="int32")
        if value.size and (value.min() < low or value.max() > high):
            raise InputError(f"{name} from {value.min()} to {value.max()}", where=where, allowed=f"{low} to {high}")
    if not -15 <= layer.bias_exp <= 15:
        raise InputError(f"bias_exp {layer.bias_exp}", where=where, allowed="-15 to 15")
    if layer.reset not in ("zero", "subtract"):
        raise InputError(f"reset {layer.reset!r}", where=where, allowed='"zero", "subtract"')


def _check_connection(connection: Connection, source: tuple[int, ...], target: tuple[int, ...]) -> None:
    where = f"connection {connection.name}"
    synapses = connection.synapses
    n_source, n_target = int(np.prod(source, dtype=np.int64)), int(np.prod(target, dtype=np.int64))
    if not -31 <= connection.weight_exp <= 31 or not 1 <= connection.weight_bits <= 8 or connection.delay < 0:
        raise InputError(
            f"weight_exp {connection.weight_exp}, weight_bits {connection.weight_bits}, delay {connection.delay}",
            where=where,
            allowed="weight_exp -31 to 31, weight_bits 1 to 8, delay at least 0",
        )
    if isinstance(synapses, Conv):
        grid(connection, source, target)
        weight = synapses.weight
    elif isinstance(synapses, Dense):
        weight = synapses.weight
        if weight.shape != (n_target, n_source):
            raise InputError(f"weight of shape {list(weight.shape)}", where=where, allowed=f"[{n_target}, {n_source}]")
    else:
        weight = synapses.data
        _check_sparse(synapses, n_target, n_source, where)
    if weight.dtype != np.int16:
        raise InputError(f"weights of type {weight.dtype}", where=where, allowed="int16")


def _check_sparse(sparse: Sparse, n_target: int, n_source: int, where: str) -> None:
    if tuple(sparse.shape) != (n_target, n_source):
        raise InputError(f"weight of shape {list(sparse.shape)}", where=where, allowed=f"[{n_target}, {n_source}]")
    rows, indices = sparse.indptr, sparse.indices
    fits = (
        len(rows) == n_target + 1
        and rows[0] == 0
        and rows[-1] == len(indices) == len(sparse.data)
        and bool(np.all(np.diff(rows) >= 0))
        and (not len(indices) or (indices.min() >= 0 and indices.max() < n_source))
    )
    if not fits:
        raise InputError(
            "compressed rows that do not fit together",
            where=where,
            allowed=f"indptr rising from 0 to the number of synapses, indices below {n_source}",
        )
