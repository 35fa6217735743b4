"""Convolutions that were written with zeros so that nir 1.0.8 can check them, as small as they were.

`export.to_nir` writes a grouped convolution with all its weights, zeros between the groups, and a non-square kernel with zeros
around it. The node's metadata says what it was ("groups", "kernel"); it is believed only where what is cut away is zeros.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from filopodia.hardware.network.fields import Floats, Shape


def compact(weight: Floats, padding: Shape, dilation: Shape, said: Mapping[str, Any]) -> tuple[Floats, Shape, int]:
    """Weight [out, in / groups, *kernel], padding and groups as they were, or as they are where nothing true is said."""
    kernel = _sizes(said.get("kernel"), weight.ndim - 2)
    if kernel is not None:
        more = [(n - k) // 2 for n, k in zip(weight.shape[2:], kernel, strict=True)]
        cut = tuple(slice(max(m, 0), n - max(m, 0)) for m, n in zip(more, weight.shape[2:], strict=True))
        inside = weight[(slice(None), slice(None), *cut)]
        less = tuple(p - d * m for p, d, m in zip(padding, dilation, more, strict=True))
        if inside.shape[2:] == kernel and min(less) >= 0 and np.count_nonzero(inside) == np.count_nonzero(weight):
            weight, padding = inside, less
    groups = (_sizes(said.get("groups"), 1) or (1,))[0]
    if groups > 1 and not weight.shape[0] % groups and not weight.shape[1] % groups:
        out, per_group = weight.shape[0] // groups, weight.shape[1] // groups
        parts = [weight[g * out : (g + 1) * out, g * per_group : (g + 1) * per_group] for g in range(groups)]
        if sum(np.count_nonzero(part) for part in parts) == np.count_nonzero(weight):
            return np.concatenate(parts), padding, groups
    return weight, padding, 1


def _sizes(value: Any, count: int) -> Shape | None:
    """`count` whole numbers of at least 1, None for anything else."""
    array = np.asarray(value).reshape(-1) if value is not None else np.zeros(0)
    if array.size != count or array.dtype.kind not in "iu" or array.min() < 1:
        return None
    return tuple(int(n) for n in array)
