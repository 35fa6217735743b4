"""Tally: many sums over the same spikes in one pass.

Every count of a layer is a sum, over its spikes, of a number that each neuron carries (its synapses onto a core, its
destination cores, its hops). All those numbers stand side by side in one table, and spikes times table is one matrix product.
It runs in floats, as processors multiply those fastest, and is exact: no sum can exceed what the type holds without rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
CHUNK = 2**24  # spikes turned into floats at a time


def tally(spikes: NDArray[Any], blocks: Sequence[Ints]) -> list[Ints]:
    """Sums over non-zero spikes [T, N, ...] of each block's rows: a block is [neurons, columns] of numbers >= 0, its sums are
    [columns, T, N]."""
    steps, samples = spikes.shape[:2]
    rows = spikes.reshape(steps * samples, -1)
    largest = max((int(block.sum(axis=0).max(initial=0)) for block in blocks), default=0)
    kind = np.float32 if largest < 2**24 else np.float64
    table = np.concatenate([block.astype(kind) for block in blocks], axis=1)
    used = np.flatnonzero(table.any(axis=0))
    table = np.ascontiguousarray(table[:, used])
    sums = np.zeros((sum(block.shape[1] for block in blocks), len(rows)), np.int64)
    height = max(CHUNK // max(rows.shape[1], 1), 1)
    for start in range(0, len(rows), height):
        sent = rows[start : start + height] != 0
        sums[used, start : start + height] = (sent.astype(kind) @ table).T
    shaped = sums.reshape(-1, steps, samples)
    edges = np.cumsum([0, *(block.shape[1] for block in blocks)])
    return [shaped[first:last] for first, last in pairwise(edges)]
