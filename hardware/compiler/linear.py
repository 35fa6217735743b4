"""NIR's linear nodes as maps: what each kind of node does to a signal of a given shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from filopodia.errors import InputError
from filopodia.hardware.compiler import maps
from filopodia.hardware.compiler.maps import ConvMap, DiagonalMap, LinearMap, MatrixMap

Shape = tuple[int, ...]

MOSTLY_ZERO = 0.25
"""Share of non-zero weights up to which a matrix is kept as compressed rows, which then take less memory than floats."""


def image(shape: Shape, name: str) -> maps.Shape3:
    """[channels, height, width] of a signal; [channels, length] has height 1."""
    if len(shape) == 3:
        return (shape[0], shape[1], shape[2])
    if len(shape) == 2:
        return (shape[0], 1, shape[1])
    raise InputError(f"a signal of shape {list(shape)}", where=name, allowed="[channels, height, width] or [channels, length]")


def _affine(node: Any, name: str, source: Shape) -> LinearMap:
    weight = np.asarray(node.weight)
    if weight.ndim < 2 or source[-1:] != weight.shape[-1:]:
        raise InputError(
            f"weight of shape {list(weight.shape)} on a signal {list(source)}", where=name, allowed="[..., out, in]"
        )
    if len(source) == 1 and np.count_nonzero(weight) > weight.size * MOSTLY_ZERO:
        return MatrixMap(weight)
    from scipy import sparse

    if len(source) == 1:
        return MatrixMap(sparse.csr_array(weight))
    blocks = np.broadcast_to(weight, (*source[:-1], *weight.shape[-2:])).reshape(-1, *weight.shape[-2:])
    return MatrixMap(sparse.csr_array(sparse.block_diag([sparse.csr_array(block) for block in blocks])))


def _conv(node: Any, name: str, source: Shape) -> LinearMap:
    weight = np.asarray(node.weight)
    along, around = (1, 0) if weight.ndim == 3 else (None, None)  # a one-dimensional signal has height 1
    weight = weight[:, :, None, :] if weight.ndim == 3 else weight
    stride, dilation = _pair(node.stride, along), _pair(node.dilation, along)
    if node.padding == "same":
        weight, dilation, padding = _same(weight, dilation)
    else:
        padding = (0, 0) if isinstance(node.padding, str) else _pair(node.padding, around)
    before, groups = image(source, name), int(node.groups)
    target = maps.conv_target(before, weight, stride, padding, dilation)
    if before[0] != weight.shape[1] * groups or weight.shape[0] % groups or min(target) < 1:
        raise InputError(f"weight {list(weight.shape)} in {groups} groups on an image {list(before)}", where=name)
    return ConvMap(weight, stride, padding, dilation, groups, before, target)


def _same(weight: Any, dilation: maps.Pair) -> tuple[Any, maps.Pair, maps.Pair]:
    """Padding that keeps the size; where one side needs a row more than the other, the kernel gets a row of zeros in front."""
    total = [dilation[i] * (weight.shape[2 + i] - 1) for i in range(2)]
    if not any(t % 2 for t in total):
        return weight, dilation, (total[0] // 2, total[1] // 2)
    extra = [t % 2 for t in total]
    spread = np.zeros((*weight.shape[:2], total[0] + 1 + extra[0], total[1] + 1 + extra[1]), weight.dtype)
    spread[:, :, extra[0] :: dilation[0], extra[1] :: dilation[1]] = weight
    return spread, (1, 1), ((total[0] + extra[0]) // 2, (total[1] + extra[1]) // 2)


def _pool(average: bool) -> Callable[[Any, str, Shape], LinearMap]:
    def make(node: Any, name: str, source: Shape) -> LinearMap:
        kernel = _pair(node.kernel_size)
        value = 1 / (kernel[0] * kernel[1]) if average else 1.0
        return maps.box(image(source, name), kernel, _pair(node.stride), _pair(node.padding), value)

    return make


def _scale(node: Any, name: str, source: Shape) -> LinearMap:
    scale = np.broadcast_to(np.asarray(node.scale, np.float64), source).reshape(-1)
    return DiagonalMap(scale[0].reshape(()) if scale.size and np.all(scale == scale[0]) else scale)


def _reshape(node: Any, name: str, source: Shape) -> LinearMap:
    return maps.IDENTITY


def _pair(value: Any, height: int | None = None) -> maps.Pair:
    """(height, width) of a setting; a single number holds for both, unless the height is given."""
    values = np.asarray(value).reshape(-1)
    if values.size == 2:
        return (int(values[0]), int(values[1]))
    return (int(values[0]) if height is None else height, int(values[0]))


LINEAR: dict[str, Callable[[Any, str, Shape], LinearMap]] = {
    "Affine": _affine,
    "Linear": _affine,
    "Conv1d": _conv,
    "Conv2d": _conv,
    "SumPool2d": _pool(average=False),
    "AvgPool2d": _pool(average=True),
    "Scale": _scale,
    "Flatten": _reshape,
}
