"""NIR's stateless nodes on arrays [N, *shape]: y = f(x).

Weighted sums are added up in double precision and rounded once, so that float32 results do not depend on the order in which
a machine's BLAS adds; torch's own float32 sums differ from these by their rounding alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from filopodia.hardware.network.build import same_padding

Floats = NDArray[np.floating[Any]]

CHUNK_BYTES = 2**26  # of unfolded convolution input held at a time


def transform(node: Any, x: Floats) -> Floats:
    """Output of a stateless `node` for input `x` [N, *shape], of `x`'s float type."""
    kind = type(node).__name__
    result: Floats
    if kind in ("Affine", "Linear"):
        return affine(x, node.weight, node.bias if kind == "Affine" else None)
    if kind == "Conv2d":
        return convolve(x, node.weight, node.bias, node.stride, node.padding, node.dilation, int(node.groups))
    if kind == "Conv1d":
        padding = node.padding if isinstance(node.padding, str) else (0, int(node.padding))
        flat = convolve(
            x[:, :, None],
            node.weight[:, :, None],
            node.bias,
            (1, int(node.stride)),
            padding,
            (1, int(node.dilation)),
            int(node.groups),
        )
        return flat[:, :, 0]
    if kind in ("SumPool2d", "AvgPool2d"):
        total = pool_sum(x, *(tuple(int(v) for v in p) for p in (node.kernel_size, node.stride, node.padding)))
        return total if kind == "SumPool2d" else total / total.dtype.type(np.prod(node.kernel_size))
    if kind == "Flatten":
        return x.reshape((x.shape[0], *(int(n) for n in node.output_type["output"])))
    if kind == "Scale":
        result = x * node.scale.astype(x.dtype)
        return result
    if kind == "Threshold":
        result = (x > node.threshold.astype(x.dtype)).astype(x.dtype)
        return result
    return x  # Input and Output


def affine(x: Floats, weight: Floats, bias: Floats | None) -> Floats:
    """x [N, ..., in] times weight [..., out, in], plus bias [..., out]."""
    wide, wide_weight = x.astype(np.float64), weight.astype(np.float64)
    total = wide @ wide_weight.T if weight.ndim == 2 else np.einsum("...oi,n...i->n...o", wide_weight, wide)
    result: Floats = (total if bias is None else total + bias).astype(x.dtype)
    return result


def convolve(x: Floats, weight: Floats, bias: Floats, stride: Any, padding: Any, dilation: Any, groups: int) -> Floats:
    """Cross-correlation of x [N, C, H, W] with weight [C_out, C / groups, h, w], as torch's conv2d."""
    kernel = weight.shape[2:]
    rows, columns = (int(s) for s in stride)
    dilation = tuple(int(d) for d in dilation)
    pads = same_padding(kernel, dilation) if isinstance(padding, str) else tuple((int(p), int(p)) for p in padding)
    reach = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    filters = weight.reshape(groups, weight.shape[0] // groups, -1).astype(np.float64)
    height, width = ((n + sum(p) - r) // s + 1 for n, p, r, s in zip(x.shape[2:], pads, reach, (rows, columns), strict=True))
    out = np.empty((x.shape[0], weight.shape[0], height, width), x.dtype)
    per_sample = 8 * filters.shape[0] * filters.shape[2] * height * width
    samples = max(1, CHUNK_BYTES // per_sample)
    for start in range(0, x.shape[0], samples):
        padded = np.pad(x[start : start + samples].astype(np.float64), ((0, 0), (0, 0), *pads))
        windows = sliding_window_view(padded, reach, axis=(2, 3))[:, :, ::rows, ::columns, :: dilation[0], :: dilation[1]]
        n, channels = windows.shape[:2]
        # [N, C, H, W, h, w] -> [groups, C/groups * h * w, N * H * W]
        unfolded = windows.transpose(1, 4, 5, 0, 2, 3).reshape(groups, channels // groups * kernel[0] * kernel[1], -1)
        total = (filters @ unfolded).reshape(weight.shape[0], n, height, width)
        out[start : start + samples] = total.transpose(1, 0, 2, 3) + bias[None, :, None, None]
    return out


def pool_sum(x: Floats, kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...]) -> Floats:
    """Sum of x [N, C, H, W] over windows, zeros outside."""
    padded = np.pad(x, ((0, 0), (0, 0), *((p, p) for p in padding)))
    height, width = ((n - k) // s + 1 for n, k, s in zip(padded.shape[2:], kernel, stride, strict=True))
    total = np.zeros((*x.shape[:2], height, width), x.dtype)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            total += padded[:, :, i : i + stride[0] * height : stride[0], j : j + stride[1] * width : stride[1]]
    return total
