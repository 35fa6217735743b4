"""Grouped and non-square convolutions as nir 1.0.8 can check them.

Its type check takes a grouped convolution's input for too small and measures both axes with the kernel's height. So a grouped
convolution is written with all its weights, zeros between the groups, and a non-square kernel with zeros around it, which
computes exactly the same. The node's metadata says what it was ("groups", "kernel"), and `hardware.load` undoes it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Sizes = tuple[int, ...]


def checkable(weight: Floats, padding: Sizes, dilation: Sizes, groups: int) -> tuple[Floats, Sizes, dict[str, Any]]:
    """Weight [out, in, *kernel] without groups and with a square kernel where that is possible, the padding, the metadata."""
    said: dict[str, Any] = {}
    if groups > 1:
        said["groups"] = groups
        weight = _without_groups(weight, groups)
    kernel = weight.shape[2:]
    side = max(kernel)
    if any((side - k) % 2 for k in kernel) or side == min(kernel):
        return weight, padding, said
    said["kernel"] = np.array(kernel, dtype=np.int64)
    more = [(side - k) // 2 for k in kernel]
    wide = np.pad(weight, [(0, 0), (0, 0), *((m, m) for m in more)])
    return wide, tuple(p + d * m for p, d, m in zip(padding, dilation, more, strict=True)), said


def _without_groups(weight: Floats, groups: int) -> Floats:
    out, per_group = weight.shape[0] // groups, weight.shape[1]
    wide = np.zeros((weight.shape[0], per_group * groups, *weight.shape[2:]), dtype=weight.dtype)
    for g in range(groups):
        wide[g * out : (g + 1) * out, g * per_group : (g + 1) * per_group] = weight[g * out : (g + 1) * out]
    return wide
