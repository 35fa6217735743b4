"""The weights of Affine, Linear and Conv nodes by source: what one spike adds, and where.

A source place (all of a vector, or one pixel) selects a row for each of its channels. A row holds what a value of 1 adds to
the sums: single synapses (offset, weight) where most weights are zero, else whole stretches of weights, zeros among them. The
offsets count from the source place's own `base`, so that all pixels of a convolution share the rows of one kernel; with a
stride there is one set of rows for each position within it. The sums of a convolution lie [row, column, channel], with a margin
that holds what would fall outside the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.hardware.network.build import same_padding

Floats = NDArray[np.floating[Any]]
Int64 = NDArray[np.int64]
Shape = tuple[int, ...]

TOGETHER = 4  # single synapses that the kernel adds in a row; rows are filled up with weights of zero
SPARSE_BELOW = 0.15  # share of non-zero weights below which single synapses are faster than stretches (0.5-1 ns against 0.1)


@dataclass(frozen=True, eq=False)
class Synapses:
    """Rows, where they apply, and the layout of the sums; all lengths in elements.

    Row r: entries `starts[r]` to `starts[r + 1]`, each an offset into the sums and `length` weights; 1 for single synapses,
    which come in multiples of `TOGETHER`.
    Channel c of place p takes row `first[p] + c`, its offsets count from `base[p]`; `planar` says that the source holds
    [channels, places], not [places, channels]. Output (channel, y, x) is the sum at
    `lead + y * row + x * channels_out + channel`.
    """

    channels: int
    planar: bool
    first: Int64
    base: Int64
    starts: Int64
    offsets: NDArray[np.uint32]
    weights: Floats
    length: int
    sums: int
    lead: int
    row: int
    channels_out: int
    height: int
    width: int
    bias: Floats


def synapses(node: Any, shape: Shape, out: Shape) -> Synapses:
    """Those of an Affine, Linear, Conv1d or Conv2d `node` from `shape` to `out`."""
    kind = type(node).__name__
    if kind in ("Affine", "Linear"):
        return _full(node.weight, node.bias if kind == "Affine" else None, shape, out)
    if kind == "Conv2d":
        return _convolution(node.weight, node.bias, node.stride, node.padding, node.dilation, int(node.groups), shape, out)
    padding = node.padding if isinstance(node.padding, str) else (0, int(node.padding))
    stride, dilation = (1, int(node.stride)), (1, int(node.dilation))
    image, image_out = (shape[0], 1, shape[1]), (out[0], 1, out[1])
    return _convolution(node.weight[:, :, None], node.bias, stride, padding, dilation, int(node.groups), image, image_out)


def _full(weight: Any, bias: Any, shape: Shape, out: Shape) -> Synapses:
    """weight [..., out, in] for each place of its own, or [out, in] for all."""
    n_out, n_in = weight.shape[-2:]
    places = int(np.prod(shape[:-1], dtype=np.int64))
    own = weight.reshape(-1, n_out, n_in)
    by_source = own.transpose(0, 2, 1).reshape(-1, 1, n_out)
    sets = np.arange(places) if len(own) == places else np.zeros(places, np.int64)
    starts, offsets, weights, length = _rows(by_source, np.zeros(len(by_source), np.int64), np.zeros(1, np.int64))
    size = places * n_out
    full = np.zeros(0, weight.dtype) if bias is None else np.broadcast_to(bias, out).reshape(-1)
    base = np.arange(places) * n_out
    return Synapses(n_in, False, sets * n_in, base, starts, offsets, weights, length, size, 0, size, n_out, 1, places, full)


def _convolution(
    weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int, shape: Shape, out: Shape
) -> Synapses:
    """weight [out, in / groups, h, w]; along each axis, tap k of source y reaches (y + pad - k * dilation) / stride."""
    channels, channels_out = shape[0], out[0]
    dilation = tuple(int(d) for d in dilation)
    pads = same_padding(weight.shape[2:], dilation) if isinstance(padding, str) else tuple((int(p), int(p)) for p in padding)
    axes = [
        _Axis(length, kernel, int(s), pad, d, reached)
        for length, kernel, s, (pad, _), d, reached in zip(
            shape[1:], weight.shape[2:], stride, pads, dilation, out[1:], strict=True
        )
    ]
    y, x = axes
    row = x.room * channels_out
    group_out = channels_out // groups
    # [groups, in / groups, h, w, out / groups] -> [in, h, w, out / groups]
    by_source = weight.reshape(groups, group_out, *weight.shape[1:]).transpose(0, 2, 3, 4, 1)
    by_source = by_source.reshape(channels, *weight.shape[2:], group_out)
    group_start = np.repeat(np.arange(groups) * group_out, channels // groups)
    parts = []
    for phase_y in range(y.stride):
        for phase_x in range(x.stride):
            taps_y, taps_x = y.taps(phase_y), x.taps(phase_x)
            taps = (y.shift(phase_y, taps_y)[:, None] * row + x.shift(phase_x, taps_x) * channels_out).reshape(-1)
            of_phase = by_source[:, taps_y[:, None], taps_x].reshape(channels, len(taps), group_out)
            parts.append((of_phase, taps))
    sparse = np.count_nonzero(weight) < SPARSE_BELOW * weight.size
    made = [_rows(of_phase, group_start, taps, sparse) for of_phase, taps in parts]
    ends = np.cumsum([0, *(len(offsets) for _, offsets, _, _ in made)])
    starts = np.concatenate([[0], *(part[0][1:] + end for part, end in zip(made, ends, strict=False))])
    offsets = np.concatenate([part[1] for part in made])
    weights = np.concatenate([part[2] for part in made])
    first = (y.phase[:, None] * x.stride + x.phase).reshape(-1) * channels
    base = (y.place[:, None] * row + x.place * channels_out).reshape(-1)
    lead = y.lead * row + x.lead * channels_out
    full = np.broadcast_to(bias, (channels_out,)).reshape(-1)
    room = y.room * row
    return Synapses(
        *(channels, True, first, base, starts.astype(np.int64), offsets, weights, made[0][3]),
        *(room, lead, row, channels_out, out[1], out[2], full),
    )


class _Axis:
    """One axis of a convolution: where its sources and their taps fall in sums with a margin on both sides."""

    def __init__(self, length: int, kernel: int, stride: int, pad: int, dilation: int, reached: int) -> None:
        self.stride, self.dilation, self.kernel = stride, dilation, kernel
        self.lead = -((-(kernel - 1) * dilation) // stride)  # the farthest that a tap reaches back
        at = np.arange(length) + pad
        self.place, self.phase = at // stride, at % stride
        self.room = self.lead + max(int(self.place[-1]) + 1, reached)

    def taps(self, phase: int) -> Int64:
        """Taps whose targets sources of `phase` meet."""
        every = np.arange(self.kernel)
        met: Int64 = every[(phase - every * self.dilation) % self.stride == 0]
        return met

    def shift(self, phase: int, taps: Int64) -> Int64:
        """Where taps lead to from a source's place, at least 0."""
        shift: Int64 = (phase - taps * self.dilation) // self.stride + self.lead
        return shift


def _rows(
    by_source: Any, group_start: Int64, taps: Int64, sparse: bool | None = None
) -> tuple[Int64, NDArray[np.uint32], Floats, int]:
    """Entries of the rows of weights [sources, taps, out]: starts, offsets, weights and the length of an entry."""
    sources, _, length = by_source.shape
    if sparse is None:
        sparse = np.count_nonzero(by_source) < SPARSE_BELOW * by_source.size
    offsets = group_start[:, None] + taps
    if not sparse and length > 1:
        starts = np.arange(sources + 1, dtype=np.int64) * len(taps)
        return starts, offsets.reshape(-1).astype(np.uint32), by_source.reshape(-1), length
    present = np.ascontiguousarray(by_source != 0)  # a copy of bytes, which is much faster than np.nonzero on strides
    source, tap, to = np.unravel_index(np.flatnonzero(present), by_source.shape)
    counts = np.bincount(source, minlength=sources)
    starts = np.concatenate([[0], np.cumsum(-(-counts // TOGETHER) * TOGETHER)])
    at = np.arange(len(source)) + np.repeat(starts[:-1] - np.cumsum(counts) + counts, counts)
    all_offsets = np.repeat(group_start, np.diff(starts)).astype(np.uint32)
    weights = np.zeros(starts[-1], by_source.dtype)
    all_offsets[at], weights[at] = offsets[source, tap] + to, by_source[source, tap, to]
    return starts, all_offsets, weights, 1
