"""A convolution's synapses one by one, as compressed rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from filopodia.hardware.program import Connection, Conv
from filopodia.hardware.simulator.geometry import grid


def unroll(
    connection: Connection, source: tuple[int, ...], target: tuple[int, ...]
) -> tuple[NDArray[np.int16], NDArray[np.int32], NDArray[np.int64]]:
    """(data, indices, indptr) of a convolution between nodes of these shapes, zero weights left out, rows in C order."""
    conv = connection.synapses
    assert isinstance(conv, Conv)
    g = grid(connection, source, target)
    outs, ins = g.c_out // conv.groups, g.c_in // conv.groups
    out, channel, k_y, k_x = np.nonzero(conv.weight)
    weights = conv.weight[out, channel, k_y, k_x]
    y = np.arange(g.h_out)[:, None] * conv.stride[0] - conv.padding[0]
    x = np.arange(g.w_out)[None, :] * conv.stride[1] - conv.padding[1]
    # [non-zero weights, h_out, w_out]: where each weight of the kernel reads, for each position of the output
    from_y = y[None] + (k_y * conv.dilation[0])[:, None, None]
    from_x = x[None] + (k_x * conv.dilation[1])[:, None, None]
    inside = (from_y >= 0) & (from_y < g.h_in) & (from_x >= 0) & (from_x < g.w_in)
    from_channel = ((out // outs) * ins + channel)[:, None, None]
    columns = (from_channel * g.h_in + from_y) * g.w_in + from_x
    positions = np.arange(g.h_out * g.w_out).reshape(1, g.h_out, g.w_out)
    rows = out[:, None, None] * (g.h_out * g.w_out) + positions
    data = np.broadcast_to(weights[:, None, None], inside.shape)[inside]
    row, column = rows[inside], columns[inside]
    order = np.lexsort((column, row))
    indptr = np.searchsorted(row[order], np.arange(g.c_out * g.h_out * g.w_out + 1))
    return data[order], column[order].astype(np.int32), indptr.astype(np.int64)
