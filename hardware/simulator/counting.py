"""Exact event counts: what each spike sets in motion, per layer, step and sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from filopodia.hardware.program import Connection, Conv, Program, Sparse
from filopodia.hardware.simulator.geometry import grid
from filopodia.hardware.simulator.reference import acting

Int64 = NDArray[np.int64]


def fan_out(program: Program, connection: Connection) -> Int64:
    """Non-zero synapses of each source neuron over this connection, int64 [n_source]."""
    synapses = connection.synapses
    present = acting(connection) != 0
    if isinstance(synapses, Conv):
        return _conv_fan_out(program, connection, present)
    if isinstance(synapses, Sparse):
        return np.bincount(synapses.indices[present], minlength=synapses.shape[1]).astype(np.int64)
    fan: Int64 = present.sum(axis=0, dtype=np.int64)
    return fan


def _conv_fan_out(program: Program, connection: Connection, present: NDArray[np.bool_]) -> Int64:
    conv = connection.synapses
    assert isinstance(conv, Conv)
    g = grid(connection, program.nodes[connection.source].shape, program.nodes[connection.target].shape)
    fan = np.zeros((g.c_in, g.h_in + 2 * conv.padding[0], g.w_in + 2 * conv.padding[1]), np.int64)
    outs = g.c_out // conv.groups
    per_input = present.reshape(conv.groups, outs, *present.shape[1:]).sum(axis=1).reshape(g.c_in, *present.shape[2:])
    for k_y, k_x in np.ndindex(*present.shape[2:]):
        y, x = k_y * conv.dilation[0], k_x * conv.dilation[1]
        ys = slice(y, y + (g.h_out - 1) * conv.stride[0] + 1, conv.stride[0])
        xs = slice(x, x + (g.w_out - 1) * conv.stride[1] + 1, conv.stride[1])
        fan[:, ys, xs] += per_input[:, k_y, k_x, None, None]
    top, left = conv.padding
    return fan[:, top : top + g.h_in, left : left + g.w_in].reshape(-1)


def destinations(program: Program) -> dict[str, Int64]:
    """Cores that a spike of each neuron is sent to: int64 [n] per input and layer, all 0 where the program is not placed.

    A core is a destination when it holds a neuron that the sender has a non-zero synapse to, over any connection; several
    such neurons, or several connections, still make one message.
    """
    total = {name: np.zeros(node.size, np.int64) for name, node in program.nodes.items()}
    if not program.cores:
        return total
    cores = max(core.index for core in program.cores) + 1
    core_of = {layer.name: np.full(layer.size, -1, np.int64) for layer in program.layers}
    for core in program.cores:
        for name, neurons in core.neurons.items():
            core_of[name][neurons] = core.index
    for name in total:
        reached = np.zeros(0, np.int64)
        for connection in program.connections:
            if connection.source == name:
                reached = np.union1d(reached, _pairs(program, connection, core_of[connection.target], cores))
        total[name] += np.bincount(reached // cores, minlength=len(total[name]))
    return total


def _pairs(program: Program, connection: Connection, core_of: Int64, cores: int) -> Int64:
    """Sorted `source * cores + core` of every core that each source neuron reaches."""
    synapses = connection.synapses
    weight = acting(connection)
    if not isinstance(synapses, Conv):
        if isinstance(synapses, Sparse):
            target = np.repeat(np.arange(synapses.shape[0]), np.diff(synapses.indptr))[weight != 0]
            source = synapses.indices[weight != 0].astype(np.int64)
        else:
            target, source = np.nonzero(weight)
        placed = core_of[target] >= 0
        return np.unique(source[placed] * cores + core_of[target[placed]])
    g = grid(connection, program.nodes[connection.source].shape, program.nodes[connection.target].shape)
    seats = core_of.reshape(g.c_out, g.h_out, g.w_out)
    outs, ins = g.c_out // synapses.groups, g.c_in // synapses.groups
    reached = np.zeros(0, np.int64)
    for k_y, k_x in np.ndindex(*weight.shape[2:]):
        y = np.arange(g.h_out) * synapses.stride[0] + k_y * synapses.dilation[0] - synapses.padding[0]
        x = np.arange(g.w_out) * synapses.stride[1] + k_x * synapses.dilation[1] - synapses.padding[1]
        inside_y, inside_x = np.flatnonzero((y >= 0) & (y < g.h_in)), np.flatnonzero((x >= 0) & (x < g.w_in))
        place = y[inside_y, None] * g.w_in + x[inside_x]
        for out in range(g.c_out):
            seat = seats[out][np.ix_(inside_y, inside_x)]
            channel = out // outs * ins + np.flatnonzero(weight[out, :, k_y, k_x])
            keys = (channel[:, None, None] * (g.h_in * g.w_in) + place) * cores + seat
            reached = np.union1d(reached, keys[np.broadcast_to(seat >= 0, keys.shape)])
    return reached
