"""Fan-out: how many synapses each source neuron has onto each group of target neurons (a group is a core, or the whole layer).

With it, counting is one product: spikes [rows, sources] times fan-out [sources, groups] are synops [rows, groups], exactly.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from filopodia.hardware.program import Conv, Dense, Sparse, Synapses

Which = Literal["nonzero", "stored", "dense"]
Labels = NDArray[np.int64]


def image_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Channels, height, width of a signal; a one-dimensional signal [channels, length] has height 1."""
    if len(shape) == 3:
        return shape[0], shape[1], shape[2]
    if len(shape) == 2:
        return shape[0], 1, shape[1]
    return shape[0], 1, 1


def conv_shape(conv: Conv, source: tuple[int, int, int]) -> tuple[int, int, int]:
    """Channels, height, width of what a convolution makes of a `source` image."""
    k_h, k_w = conv.weight.shape[2:]
    sizes = zip(source[1:], (k_h, k_w), conv.stride, conv.padding, conv.dilation, strict=True)
    height, width = (
        (size + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1 for size, kernel, stride, pad, dilation in sizes
    )
    return conv.weight.shape[0], height, width


def fanout(
    synapses: Synapses,
    source: tuple[int, ...],
    labels: Labels,
    groups: int,
    which: Which = "nonzero",
) -> NDArray[np.int64]:
    """Synapses from each neuron of a `source` shape onto each group of target neurons, int64 [n_source, groups].

    `labels` [n_target] holds the group of each target neuron in C order, -1 for none. `which`: synapses with a weight other
    than zero, those the program stores (a stored zero included), or all that the connection's shape allows.
    """
    if isinstance(synapses, Conv):
        return _conv(synapses, image_shape(source), labels, groups, which)
    n_source = (synapses.weight.shape if isinstance(synapses, Dense) else synapses.shape)[1]
    if which == "dense" or (isinstance(synapses, Dense) and which == "stored"):
        counts = np.bincount(labels[labels >= 0], minlength=groups).astype(np.int64)
        return np.broadcast_to(counts, (n_source, groups)).copy()
    if isinstance(synapses, Dense):
        out = np.empty((n_source, groups), np.int64)
        mask = synapses.weight != 0
        for group in range(groups):
            out[:, group] = mask[labels == group].sum(axis=0)
        return out
    return _sparse(synapses, labels, groups, stored=which == "stored")


def _sparse(synapses: Sparse, labels: Labels, groups: int, *, stored: bool) -> NDArray[np.int64]:
    n_source = synapses.shape[1]
    group = np.repeat(labels, np.diff(synapses.indptr))
    keep = (group >= 0) if stored else (group >= 0) & (synapses.data != 0)
    flat = synapses.indices[keep].astype(np.int64) * groups + group[keep]
    return np.bincount(flat, minlength=n_source * groups).reshape(n_source, groups).astype(np.int64)


def _conv(
    conv: Conv,
    source: tuple[int, int, int],
    labels: Labels,
    groups: int,
    which: Which,
) -> NDArray[np.int64]:
    channels, height, width = source
    target = conv_shape(conv, source)
    out = np.zeros((channels * height * width, groups), np.int64)
    order = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[order], np.arange(groups + 1))
    for group in range(groups):
        c, y, x = np.unravel_index(order[bounds[group] : bounds[group + 1]], target)
        out[:, group] = conv_fanout(conv, source, c, y, x, which)
    return out


def conv_fanout(
    conv: Conv,
    source: tuple[int, int, int],
    c: NDArray[np.int64],
    y: NDArray[np.int64],
    x: NDArray[np.int64],
    which: Which,
) -> NDArray[np.int64]:
    """Synapses of each source neuron onto the target neurons (c, y, x), int64 [n_source]. x may lie beyond the last column."""
    channels, height, width = source
    if len(c) == 0:
        return np.zeros(channels * height * width, np.int64)
    c_out, c_in, k_h, k_w = conv.weight.shape
    (s_h, s_w), (p_h, p_w), (d_h, d_w) = conv.stride, conv.padding, conv.dilation
    per_group = c_out // conv.groups
    y0, x0, h, w = int(y.min()), int(x.min()), int(np.ptp(y)) + 1, int(np.ptp(x)) + 1
    parts = np.unique(c // per_group)  # the convolution groups these neurons belong to
    present = np.zeros((len(parts), per_group, h, w))
    present[np.searchsorted(parts, c // per_group), c % per_group, y - y0, x - x0] = 1.0
    present = present.reshape(len(parts), per_group, h * w)
    mask = np.ones_like(conv.weight, dtype=np.float64) if which != "nonzero" else (conv.weight != 0).astype(np.float64)
    mask = mask.reshape(conv.groups, per_group, c_in, k_h, k_w)[parts].transpose(0, 2, 1, 3, 4)
    frame = np.zeros((len(parts), c_in, (h - 1) * s_h + (k_h - 1) * d_h + 1, (w - 1) * s_w + (k_w - 1) * d_w + 1))
    for i in range(k_h):
        for j in range(k_w):
            rows = slice(i * d_h, i * d_h + (h - 1) * s_h + 1, s_h)
            columns = slice(j * d_w, j * d_w + (w - 1) * s_w + 1, s_w)
            frame[:, :, rows, columns] += (mask[..., i, j] @ present).reshape(len(parts), c_in, h, w)
    top, left = y0 * s_h - p_h, x0 * s_w - p_w  # where the frame lies in the source
    out = np.zeros((conv.groups, c_in, height, width), np.int64)
    r0, r1 = max(top, 0), min(top + frame.shape[2], height)
    q0, q1 = max(left, 0), min(left + frame.shape[3], width)
    if r1 > r0 and q1 > q0:
        out[parts, :, r0:r1, q0:q1] = frame[:, :, r0 - top : r1 - top, q0 - left : q1 - left]
    return out.reshape(-1)


def synapses_of(synapses: Synapses, source: tuple[int, ...], which: Which) -> int:
    """How many synapses a connection has. All its shape allows ("dense") are the multiply-accumulates of the same layer in an
    ANN, padding not counted."""
    if isinstance(synapses, Conv):
        size = int(np.prod(conv_shape(synapses, image_shape(source))))
    else:
        size = synapses.weight.shape[0] if isinstance(synapses, Dense) else synapses.shape[0]
    return int(fanout(synapses, source, np.zeros(size, np.int64), 1, which).sum())
