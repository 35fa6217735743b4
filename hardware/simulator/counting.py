"""Exact event counts: what each spike sets in motion, per layer, step and sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from filopodia.hardware.program import Connection, Conv, Program, Sparse
from filopodia.hardware.simulator.geometry import grid
from filopodia.hardware.simulator.weights import acting

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
    held: dict[int, dict[str, list[NDArray[np.integer]]]] = {}
    for core in program.cores:
        for name, part in core.neurons.items():
            held.setdefault(core.index, {}).setdefault(name, []).append(part)
    for source, found in total.items():
        outgoing = [c for c in program.connections if c.source == source]
        for layers in held.values():
            reached = np.zeros(len(found), np.bool_)
            for connection in outgoing:
                for neurons in layers.get(connection.target, []):
                    _reach(program, connection, neurons.astype(np.int64), reached)
            found += reached
    return total


def _reach(program: Program, connection: Connection, neurons: Int64, reached: NDArray[np.bool_]) -> None:
    """Mark in `reached` [n_source] who has a synapse to any of the target's `neurons`."""
    synapses, weight = connection.synapses, acting(connection)
    if isinstance(synapses, Conv):
        _conv_reach(program, connection, neurons, reached)
    elif isinstance(synapses, Sparse):
        starts = synapses.indptr[neurons]
        lengths = synapses.indptr[neurons + 1] - starts
        entries = np.arange(lengths.sum()) + np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
        reached[synapses.indices[entries[weight[entries] != 0]]] = True
    else:
        reached |= (weight[neurons] != 0).any(axis=0)


def _conv_reach(program: Program, connection: Connection, neurons: Int64, reached: NDArray[np.bool_]) -> None:
    """The same for a convolution, all channels that hold the same places at a time."""
    conv = connection.synapses
    assert isinstance(conv, Conv)
    g = grid(connection, program.nodes[connection.source].shape, program.nodes[connection.target].shape)
    channels, held = np.unique(neurons // (g.h_out * g.w_out), return_inverse=True)
    seats = np.zeros((len(channels), g.h_out * g.w_out), np.bool_)
    seats[held, neurons % (g.h_out * g.w_out)] = True
    outs, ins = g.c_out // conv.groups, g.c_in // conv.groups
    alike: dict[tuple[int, bytes], list[int]] = {}
    for channel, seat in zip(channels.tolist(), seats, strict=True):
        alike.setdefault((channel // outs, np.packbits(seat).tobytes()), []).append(channel)
    (top, left), (high, wide) = conv.padding, conv.stride
    padded = np.zeros((g.c_in, g.h_in + 2 * top, g.w_in + 2 * left), np.bool_)
    for (group, packed), members in alike.items():
        seat = np.unpackbits(np.frombuffer(packed, np.uint8), count=seats.shape[1]).astype(np.bool_).reshape(g.h_out, g.w_out)
        rows, columns = (np.flatnonzero(seat.any(axis=axis)) for axis in (1, 0))
        seat = seat[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        senders = (conv.weight[members] != 0).any(axis=0)
        for k_y, k_x in np.ndindex(*senders.shape[1:]):
            y, x = rows[0] * high + k_y * conv.dilation[0], columns[0] * wide + k_x * conv.dilation[1]
            ys = slice(y, y + (seat.shape[0] - 1) * high + 1, high)
            xs = slice(x, x + (seat.shape[1] - 1) * wide + 1, wide)
            padded[group * ins + np.flatnonzero(senders[:, k_y, k_x]), ys, xs] |= seat
    reached |= padded[:, top : top + g.h_in, left : left + g.w_in].reshape(-1)
