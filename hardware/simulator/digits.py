"""Weights as signed powers of two, listed per row, power, source and sign: what kernel S counts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import int64, uint32, uint64
from numpy.typing import NDArray

from filopodia.hardware.simulator.compiled import kernel

POWERS = 26

Rows = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]  # starts, vectors, weights


def _count_digits(starts: Any, data: Any, scale: Any, source: Any, counts: Any) -> None:
    for row in range(len(starts) - 1):
        for e in range(starts[row], starts[row + 1]):
            weight = int64(data[uint64(e)]) << scale[0] >> scale[1]
            negative = weight < 0
            rest = -weight if negative else weight
            power = 0
            while rest:
                if rest & 1:
                    digit = 2 - (rest & 3)
                    rest -= digit
                    counts[row, power, 2 * source + int64((digit < 0) != negative)] += 1
                rest >>= 1
                power += 1


def _list_digits(starts: Any, data: Any, vectors: Any, scale: Any, source: Any, tag: Any, at: Any, ops: Any) -> None:
    for row in range(len(starts) - 1):
        for e in range(starts[row], starts[row + 1]):
            weight = int64(data[uint64(e)]) << scale[0] >> scale[1]
            negative = weight < 0
            rest = -weight if negative else weight
            power = 0
            while rest:
                if rest & 1:
                    digit = 2 - (rest & 3)
                    rest -= digit
                    column = 2 * source + int64((digit < 0) != negative)
                    ops[uint64(at[row, power, column])] = uint32(vectors[uint64(e)] + tag)
                    at[row, power, column] += 1
                rest >>= 1
                power += 1


count_digits = kernel(_count_digits)
list_digits = kernel(_list_digits)


def digits(sources: list[Rows], scales: list[tuple[int, int]], tags: list[int]) -> tuple[NDArray[np.uint32], NDArray[np.int32]]:
    """Digits of the rows of several sources; weights are taken times 2^scale[0] / 2^scale[1] (without remainder).

    Returns `ops`, one vector plus its source's tag per digit, row after row, and how many of them belong to each
    [row, power, 2 * source + (1 where they count negative)].
    """
    counts = np.zeros((len(sources[0][0]) - 1, POWERS, 2 * len(sources)), np.int32)
    for i, (starts, _, data) in enumerate(sources):
        count_digits(starts, data, np.array(scales[i], np.int64), i, counts)
    used = max(1, int(np.max(np.flatnonzero(counts.any(axis=(0, 2))), initial=0)) + 1)
    counts = np.ascontiguousarray(counts[:, :used])
    ends = np.cumsum(counts.reshape(-1), dtype=np.int64)
    at = np.ascontiguousarray(np.concatenate([[0], ends])[:-1].reshape(counts.shape))
    ops = np.zeros(int(ends[-1]), np.uint32)
    for i, (starts, vectors, data) in enumerate(sources):
        list_digits(starts, data, vectors, np.array(scales[i], np.int64), i, tags[i], at, ops)
    return ops, counts
