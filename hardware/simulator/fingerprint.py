"""Noticing that the numbers of a program were changed in place, at the speed of reading them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import int32, uint64
from numpy.typing import NDArray

from filopodia.hardware.program import Program, Sparse
from filopodia.hardware.simulator.compiled import STAMP, kernel
from filopodia.hardware.simulator.simd import loader, splat, store

WIDTH = (0,) * 4
load = loader(32, 16)


def _digest(data: Any, sums: Any, _stamp: Any = STAMP) -> None:
    """Mix `data` uint8 (a multiple of 256 bytes is used) into 64 running products `sums` int32."""
    h = load(sums, uint64(0), WIDTH)
    factor = splat(int32(16777619), h)
    for i in range(data.shape[0] // 256):
        h = (h ^ load(data, uint64(i) * uint64(256), WIDTH)) * factor
    store(sums, uint64(0), h)


digest = kernel(_digest)


def fingerprint(program: Program) -> int:
    """A number that changes when a weight or a neuron parameter does."""
    sums = np.arange(1, 65, dtype=np.int32)
    small = []
    for array in _arrays(program):
        if array.nbytes < 2048:
            small.append(array.tobytes())
        else:
            data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
            digest(data, sums)
            small.append(data[data.size // 256 * 256 :].tobytes())
    return hash((sums.tobytes(), *small))


def _arrays(program: Program) -> list[NDArray[Any]]:
    arrays: list[NDArray[Any]] = []
    for connection in program.connections:
        synapses = connection.synapses
        if isinstance(synapses, Sparse):
            arrays += [synapses.indptr, synapses.indices, synapses.data]
        else:
            arrays.append(synapses.weight)
    for layer in program.layers:
        arrays += [layer.du, layer.dv, layer.vth, layer.bias]
    return arrays
