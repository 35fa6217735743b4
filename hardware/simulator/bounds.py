"""Bounds: the largest sum that can arrive at a neuron, whatever spikes come."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from filopodia.hardware.program import Connection, Conv, Dense, Input, Layer, Program, Sparse, Synapses

Int64 = NDArray[np.int64]


def largest_sums(program: Program, layer: Layer) -> tuple[Int64, Int64]:
    """The highest and the lowest input sum that each neuron of a layer can have in a step: int64 [n] each, from stored weights.

    Graded messages have signs, so that either sign of a weight may add to either side.
    """
    highest, lowest = np.zeros(layer.size, np.int64), np.zeros(layer.size, np.int64)
    for connection in program.into(layer.name):
        positive, negative = input_sums(connection.synapses, layer.size)
        message = largest_message(program, connection)
        if message > 1:
            positive, negative = positive - negative, negative - positive
        factor = message << max(0, connection.weight_exp)
        highest, lowest = highest + positive * factor, lowest + negative * factor
    return highest, lowest


def largest_message(program: Program, connection: Connection) -> int:
    """1 where messages count as spikes; else the largest number of the graded input."""
    source = program.nodes[connection.source]
    graded = isinstance(source, Input) and source.message_bits > 0 and connection.message_bits > 0
    return (1 << source.message_bits) - 1 if isinstance(source, Input) and graded else 1


def stored(synapses: Synapses) -> NDArray[np.int16]:
    """The stored weights of any synapses, in their own layout."""
    return synapses.data if isinstance(synapses, Sparse) else synapses.weight


def input_sums(synapses: Synapses, size: int) -> tuple[Int64, Int64]:
    """Sum of the positive and of the negative weights onto each target neuron, int64 [size] each (a bound for convolutions)."""
    values = stored(synapses)
    return _sums(synapses, np.maximum(values, 0), size), _sums(synapses, np.minimum(values, 0), size)


def _sums(synapses: Synapses, values: NDArray[np.int16], size: int) -> Int64:
    if isinstance(synapses, Conv):
        return np.asarray(values.sum(axis=(1, 2, 3), dtype=np.int64)).repeat(size // values.shape[0])
    if isinstance(synapses, Dense):
        return np.asarray(values.sum(axis=1, dtype=np.int64))
    ends = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    return np.asarray(ends[synapses.indptr[1:]] - ends[synapses.indptr[:-1]])
