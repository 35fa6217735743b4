"""NIR's stateless nodes on arrays [N, *shape]: y = f(x).

Weighted sums are added up in double precision, source after source, the bias last, and rounded once: torch's own float32 sums
differ from these by their rounding alone. The order is part of the meaning, as it decides the last bit of a double where
weights differ by many orders of magnitude: the inputs of a full connection as they stand; of a convolution row after row of the
kernel, column after column, channel after channel. A weight of zero is no synapse, whatever arrives there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from filopodia.hardware.network.build import same_padding

Floats = NDArray[np.floating[Any]]


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
    total = np.zeros((*x.shape[:-1], weight.shape[-2]))
    for source in range(weight.shape[-1]):
        total += arriving(x[..., source, None], weight[..., source])
    result: Floats = (total if bias is None else total + bias).astype(x.dtype)
    return result


def arriving(x: Floats, weight: Floats) -> NDArray[np.float64]:
    """x times weight in double precision, 0 where the weight is."""
    product: NDArray[np.float64] = np.where(weight == 0, 0, x.astype(np.float64) * weight.astype(np.float64))
    return product


def convolve(x: Floats, weight: Floats, bias: Floats, stride: Any, padding: Any, dilation: Any, groups: int) -> Floats:
    """Cross-correlation of x [N, C, H, W] with weight [C_out, C / groups, h, w], as torch's conv2d."""
    kernel = weight.shape[2:]
    rows, columns = (int(s) for s in stride)
    dilation = tuple(int(d) for d in dilation)
    pads = same_padding(kernel, dilation) if isinstance(padding, str) else tuple((int(p), int(p)) for p in padding)
    reach = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    padded = np.pad(x, ((0, 0), (0, 0), *pads))
    windows = sliding_window_view(padded, reach, axis=(2, 3))[:, :, ::rows, ::columns, :: dilation[0], :: dilation[1]]
    n, channels, height, width = windows.shape[:4]
    windows = windows.reshape(n, groups, 1, channels // groups, height, width, *kernel)
    filters = weight.reshape(groups, weight.shape[0] // groups, channels // groups, 1, 1, *kernel)
    total = np.zeros((n, *filters.shape[:2], height, width))
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            for channel in range(channels // groups):
                total += arriving(windows[:, :, :, channel, ..., i, j], filters[:, :, channel, ..., i, j])
    result: Floats = (total.reshape(n, -1, height, width) + bias[:, None, None]).astype(x.dtype)
    return result


def pool_sum(x: Floats, kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...]) -> Floats:
    """Sum of x [N, C, H, W] over windows, zeros outside."""
    padded = np.pad(x, ((0, 0), (0, 0), *((p, p) for p in padding)))
    height, width = ((n - k) // s + 1 for n, k, s in zip(padded.shape[2:], kernel, stride, strict=True))
    total = np.zeros((*x.shape[:2], height, width), x.dtype)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            total += padded[:, :, i : i + stride[0] * height : stride[0], j : j + stride[1] * width : stride[1]]
    return total
