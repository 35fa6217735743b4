"""Shapes of what NIR nodes give out, worked out here: nir 1.0.8 is wrong for non-square kernels and silent for pooling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .cells import NEURONS, Window, numbers

Shape = tuple[int, ...]


def shapes(nodes: Mapping[str, Any], order: Sequence[str], sources: Mapping[str, Sequence[str]]) -> dict[str, Shape]:
    """Output shape of every node, without steps and samples; `order` as from `order.order`."""
    found: dict[str, Shape] = {}
    for name in order:
        node = nodes[name]
        before = next((found[source] for source in sources[name] if source in found), ())
        found[name] = output_shape(node, before)
    return found


def output_shape(node: Any, before: Shape) -> Shape:
    """The shape `node` gives out for inputs of shape `before`."""
    kind = type(node).__name__
    if kind == "Input":
        return tuple(int(n) for n in np.asarray(node.input_type["input"]).reshape(-1))
    if kind in NEURONS:
        return tuple(int(n) for n in np.shape(node.r))
    if kind in ("Affine", "Linear"):
        return (int(np.shape(node.weight)[-2]),)
    if kind in ("Conv1d", "Conv2d"):
        window = Window.of(node)
        kernel = window.weight.shape[2:]
        if isinstance(window.padding, str):
            padding = tuple(0 for _ in kernel)
            if window.padding == "same":
                return (len(window.weight), *before[1:])
        else:
            padding = window.padding
        space = zip(before[1:], padding, window.dilation, kernel, window.stride, strict=True)
        return (len(window.weight), *((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, p, d, k, s in space))
    if kind in ("SumPool2d", "AvgPool2d"):
        kernel, stride, padding = (numbers(v, 2) for v in (node.kernel_size, node.stride, node.padding))
        space2 = zip(before[1:], padding, kernel, stride, strict=True)
        return (before[0], *((n + 2 * p - k) // s + 1 for n, p, k, s in space2))
    if kind == "Flatten":
        start, end = int(node.start_dim) % len(before), int(node.end_dim) % len(before)
        return (*before[:start], int(np.prod(before[start : end + 1])), *before[end + 1 :])
    return before
