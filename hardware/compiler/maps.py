"""Linear maps between two populations of neurons, in floats: what lies between one spike and the next neuron.

A map is a convolution while it can be one (its weights stay shared), a diagonal, or a matrix (an array, or scipy's compressed
rows when mostly zero). Maps compose exactly; a product that is no convolution any more becomes a sparse matrix.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Shape3 = tuple[int, int, int]
Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class ConvMap:
    """Cross-correlation with `weight` [c_out, c_in / groups, k_h, k_w], from [c, h, w] `source` to [c, h, w] `target`."""

    weight: NDArray[Any]
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int
    source: Shape3
    target: Shape3


@dataclass(frozen=True, eq=False)
class MatrixMap:
    """`weight` [n_target, n_source]: a float array or a `scipy.sparse.csr_array`."""

    weight: Any


@dataclass(frozen=True, eq=False)
class DiagonalMap:
    """Each value times its own factor; `scale` has shape () when all factors are one number, else [n]."""

    scale: NDArray[Any]


LinearMap = ConvMap | MatrixMap | DiagonalMap

IDENTITY = DiagonalMap(np.ones(()))


def conv_target(source: Shape3, weight: NDArray[Any], stride: Pair, padding: Pair, dilation: Pair) -> Shape3:
    """Shape of a convolution's result; a height or width below 1 means that the kernel is larger than the image."""
    size = [(source[1 + i] + 2 * padding[i] - dilation[i] * (weight.shape[2 + i] - 1) - 1) // stride[i] + 1 for i in range(2)]
    return (int(weight.shape[0]), size[0], size[1])


def box(source: Shape3, kernel: Pair, stride: Pair, padding: Pair, value: float) -> ConvMap:
    """Sum pooling (value 1) or average pooling (1 / area, padding counted): a convolution with one group per channel."""
    weight = np.full((source[0], 1, *kernel), value, np.float32)
    target = conv_target(source, weight, stride, padding, (1, 1))
    return ConvMap(weight, stride, padding, (1, 1), source[0], source, target)


def compose(second: LinearMap, first: LinearMap) -> LinearMap:
    """The map that applies `first`, then `second`."""
    if isinstance(first, DiagonalMap):
        return scale_sources(second, first.scale)
    if isinstance(second, DiagonalMap):
        return scale_targets(first, second.scale)
    if isinstance(first, ConvMap) and isinstance(second, ConvMap):
        merged = _box_then_conv(second, first) or _conv_then_box(second, first)
        if merged is not None:
            return merged
    return MatrixMap(_sparse(second) @ _sparse(first))


def add(one: LinearMap, other: LinearMap, sources: int) -> LinearMap:
    """The sum of two maps from the same `sources` neurons to the same targets."""
    if isinstance(one, ConvMap) and isinstance(other, ConvMap) and one.weight.shape == other.weight.shape:
        frame = [(m.stride, m.padding, m.dilation, m.groups, m.source) for m in (one, other)]
        if frame[0] == frame[1]:
            return replace(one, weight=one.weight + other.weight)
    return MatrixMap(matrix(one, sources) + matrix(other, sources))


def scale_targets(map_: LinearMap, scale: NDArray[Any]) -> LinearMap:
    """Multiply what arrives at target i by scale[i] (or by one number)."""
    scale = np.asarray(scale)
    if isinstance(map_, DiagonalMap):
        return DiagonalMap(map_.scale * scale)
    if scale.ndim == 0 or np.all(scale == scale.flat[0]):
        factor = scale.flat[0] if scale.size else scale
        return map_ if factor == 1 else replace(map_, weight=map_.weight * map_.weight.dtype.type(factor))
    if isinstance(map_, ConvMap):
        channels = per_channel(scale, map_.target)
        if channels is not None:
            return replace(map_, weight=map_.weight * channels[:, None, None, None].astype(map_.weight.dtype))
        map_ = MatrixMap(_sparse(map_))
    return MatrixMap(_rows_scaled(map_.weight, scale))


def scale_sources(map_: LinearMap, scale: NDArray[Any]) -> LinearMap:
    """Multiply what leaves source i by scale[i] (or by one number) before the map."""
    scale = np.asarray(scale)
    if isinstance(map_, DiagonalMap) or scale.ndim == 0 or np.all(scale == scale.flat[0]):
        return scale_targets(map_, scale if isinstance(map_, DiagonalMap) or scale.ndim == 0 else np.asarray(scale.flat[0]))
    if isinstance(map_, ConvMap):
        channels = per_channel(scale, map_.source)
        if channels is not None:
            outs = map_.weight.shape[0] // map_.groups
            per_weight = np.repeat(channels.reshape(map_.groups, -1), outs, axis=0)
            return replace(map_, weight=map_.weight * per_weight[:, :, None, None].astype(map_.weight.dtype))
        map_ = MatrixMap(_sparse(map_))
    if isinstance(map_.weight, np.ndarray):
        return MatrixMap(map_.weight * scale[None, :].astype(map_.weight.dtype))
    scaled = map_.weight.copy()
    scaled.data = scaled.data * scale[scaled.indices].astype(scaled.data.dtype)
    return MatrixMap(scaled)


def apply(map_: LinearMap, x: NDArray[Any]) -> NDArray[np.float64]:
    """The map of one flat array [n_source], in float64: [n_target]."""
    x = np.asarray(x, np.float64).reshape(-1)
    if isinstance(map_, DiagonalMap):
        return np.asarray(x * map_.scale)
    if isinstance(map_, MatrixMap):
        result: NDArray[np.float64] = np.asarray(map_.weight @ x, np.float64)
        return result
    (c_in, _, _), (c_out, h, w) = map_.source, map_.target
    (s_y, s_x), (p_y, p_x), (d_y, d_x) = map_.stride, map_.padding, map_.dilation
    image = np.pad(x.reshape(map_.source), ((0, 0), (p_y, p_y), (p_x, p_x)))
    total = np.zeros((map_.groups, c_out // map_.groups, h, w))
    for k_y, k_x in np.ndindex(*map_.weight.shape[2:]):
        y, x0 = k_y * d_y, k_x * d_x
        seen = image[:, y : y + (h - 1) * s_y + 1 : s_y, x0 : x0 + (w - 1) * s_x + 1 : s_x]
        weight = map_.weight[:, :, k_y, k_x].reshape(map_.groups, c_out // map_.groups, -1)
        total += np.einsum("goi,giyx->goyx", weight, seen.reshape(map_.groups, c_in // map_.groups, h, w))
    return total.reshape(-1)


def matrix(map_: LinearMap, sources: int) -> Any:
    """Any map as `scipy.sparse.csr_array` [n_target, n_source]; only non-zero weights are stored."""
    if isinstance(map_, DiagonalMap):
        from scipy import sparse

        return sparse.diags_array(np.broadcast_to(map_.scale, (sources,)).copy(), format="csr")
    return _sparse(map_)


def synapses(map_: ConvMap) -> int:
    """Non-zero weights of a convolution, counted once per pixel that they reach."""
    reached = []
    for axis in range(2):
        at = np.arange(map_.target[1 + axis])[None, :] * map_.stride[axis] - map_.padding[axis]
        at = at + np.arange(map_.weight.shape[2 + axis])[:, None] * map_.dilation[axis]
        reached.append(((at >= 0) & (at < map_.source[1 + axis])).sum(axis=1))
    return int(reached[0] @ np.count_nonzero(map_.weight, axis=(0, 1)) @ reached[1])


def largest(map_: LinearMap) -> float:
    """The largest magnitude of a weight, 0 for a map without weights."""
    values = weights(map_)
    return float(max(values.max(initial=0), -values.min(initial=0))) if values.size else 0.0


def weights(map_: LinearMap) -> NDArray[Any]:
    """The stored weights, in the map's own layout."""
    if isinstance(map_, DiagonalMap):
        return map_.scale
    values: NDArray[Any] = map_.weight if isinstance(map_.weight, np.ndarray) else map_.weight.data
    return values


def per_channel(scale: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any] | None:
    """One factor per channel [shape[0]] where all pixels of a channel share it, else None; `scale` is [] or [n]."""
    if scale.ndim == 0:
        return np.broadcast_to(scale, (shape[0],))
    by_channel = scale.reshape(shape[0], -1)
    return by_channel[:, 0] if np.all(by_channel == by_channel[:, :1]) else None


def _rows_scaled(weight: Any, scale: NDArray[Any]) -> Any:
    if isinstance(weight, np.ndarray):
        return weight * scale[:, None].astype(weight.dtype)
    scaled = weight.copy()
    scaled.data = scaled.data * np.repeat(scale.astype(scaled.data.dtype), np.diff(scaled.indptr))
    return scaled


def _sparse(map_: ConvMap | MatrixMap) -> Any:
    from scipy import sparse

    if isinstance(map_, MatrixMap):
        return sparse.csr_array(map_.weight) if isinstance(map_.weight, np.ndarray) else map_.weight
    (c_in, h_in, w_in), (c_out, h, w) = map_.source, map_.target
    ins, outs = c_in // map_.groups, c_out // map_.groups
    o, i, k_y, k_x = (axis.astype(np.int64)[:, None, None] for axis in np.nonzero(map_.weight))
    y = np.arange(h)[None, :, None] * map_.stride[0] + k_y * map_.dilation[0] - map_.padding[0]
    x = np.arange(w)[None, None, :] * map_.stride[1] + k_x * map_.dilation[1] - map_.padding[1]
    inside = (y >= 0) & (y < h_in) & (x >= 0) & (x < w_in)
    target = (o * h + np.arange(h)[None, :, None]) * w + np.arange(w)[None, None, :]
    source = ((o // outs * ins + i) * h_in + y) * w_in + x
    values = np.broadcast_to(map_.weight[map_.weight != 0][:, None, None], inside.shape)
    shape = (c_out * h * w, c_in * h_in * w_in)
    target, source = np.broadcast_to(target, inside.shape)[inside], np.broadcast_to(source, inside.shape)[inside]
    return sparse.csr_array((values[inside], (target, source)), shape=shape)


def _is_box(map_: ConvMap) -> bool:
    """Pooling: one group per channel and one weight throughout."""
    return map_.groups == map_.source[0] == map_.target[0] and bool(np.all(map_.weight == map_.weight.flat[0]))


def _box_then_conv(conv: ConvMap, pool: ConvMap) -> ConvMap | None:
    """Pooling without overlap or padding, then a convolution: one convolution with every weight spread over its window.

    Exact where the pooled rows tile the image as far as the convolution reads; padding of the convolution becomes padding by
    whole windows.
    """
    window = (int(pool.weight.shape[2]), int(pool.weight.shape[3]))
    if not _is_box(pool) or pool.stride != window or pool.padding != (0, 0) or pool.dilation != (1, 1):
        return None
    if any(conv.padding[i] and pool.source[1 + i] % window[i] for i in range(2)):
        return None  # the rows that pooling drops would lie where the convolution must see zeros
    c_out, ins = conv.weight.shape[:2]
    span = tuple(conv.dilation[i] * (conv.weight.shape[2 + i] - 1) + 1 for i in range(2))
    spread = np.zeros((c_out, ins, *span), conv.weight.dtype)
    spread[:, :, :: conv.dilation[0], :: conv.dilation[1]] = conv.weight
    weight = spread.repeat(window[0], axis=2).repeat(window[1], axis=3) * conv.weight.dtype.type(pool.weight.flat[0])
    stride = (conv.stride[0] * window[0], conv.stride[1] * window[1])
    padding = (conv.padding[0] * window[0], conv.padding[1] * window[1])
    if conv_target(pool.source, weight, stride, padding, (1, 1)) != conv.target:
        return None
    return ConvMap(weight, stride, padding, (1, 1), conv.groups, pool.source, conv.target)


def _conv_then_box(pool: ConvMap, conv: ConvMap) -> ConvMap | None:
    """A convolution, then pooling without padding: one convolution whose kernel is the sum over the window."""
    if not _is_box(pool) or pool.padding != (0, 0) or pool.dilation != (1, 1):
        return None
    c_out, ins = conv.weight.shape[:2]
    window = pool.weight.shape[2:]
    span = [conv.dilation[i] * (conv.weight.shape[2 + i] - 1) + 1 for i in range(2)]
    size = [span[i] + (window[i] - 1) * conv.stride[i] for i in range(2)]
    weight = np.zeros((c_out, ins, *size), conv.weight.dtype)
    for y, x in np.ndindex(*window):
        y0, x0 = y * conv.stride[0], x * conv.stride[1]
        weight[:, :, y0 : y0 + span[0] : conv.dilation[0], x0 : x0 + span[1] : conv.dilation[1]] += conv.weight
    weight *= conv.weight.dtype.type(pool.weight.flat[0])
    stride = (conv.stride[0] * pool.stride[0], conv.stride[1] * pool.stride[1])
    if conv_target(conv.source, weight, stride, conv.padding, (1, 1)) != pool.target:
        return None
    return ConvMap(weight, stride, conv.padding, (1, 1), conv.groups, conv.source, pool.target)
