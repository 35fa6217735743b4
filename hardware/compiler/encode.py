"""Encoding: the form in which a connection is kept, chosen by the bytes it takes on a chip."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.hardware.chip import Chip
from filopodia.hardware.compiler import maps
from filopodia.hardware.compiler.cut import room
from filopodia.hardware.compiler.maps import ConvMap
from filopodia.hardware.compiler.quantize import QuantizedConnection
from filopodia.hardware.compiler.resources import WEIGHT_BITS, index_bits
from filopodia.hardware.program import Connection, Conv, Dense, Sparse, Synapses


def encode(quantized: QuantizedConnection, delay: int, message_bits: int, chip: Chip | None = None) -> Connection:
    """The connection with its synapses as Conv, Dense or Sparse, whichever takes the fewest bytes.

    Before: integer weights in the layout of their map. After: the same weights, none lost and none added, no stored zero in a
    Sparse. A convolution's weights are fewest where the chip keeps them once; where it lists them for every source neuron, a
    small image may be smaller as a matrix, which needs no indices. Without a chip, convolutions stay.
    """
    projection = quantized.projection
    return Connection(
        source=projection.source,
        target=projection.target,
        synapses=_synapses(quantized, chip is None or room(chip).shared_conv),
        weight_exp=quantized.exp,
        message_bits=message_bits,
        delay=delay,
    )


def _synapses(quantized: QuantizedConnection, shared_conv: bool) -> Synapses:
    map_, weight = quantized.projection.map, quantized.weight
    if isinstance(map_, ConvMap):
        whole = replace(map_, weight=np.ascontiguousarray(weight))
        n_target, n_source = math.prod(map_.target), math.prod(map_.source)
        if shared_conv or _listed_is_smaller(maps.synapses(whole), n_target, n_source):
            return Conv(whole.weight, map_.stride, map_.padding, map_.dilation, map_.groups)
        return Dense(np.asarray(maps.matrix(whole, n_source).toarray(), np.int16))
    stored = int(np.count_nonzero(weight if isinstance(weight, np.ndarray) else weight.data))
    if _listed_is_smaller(stored, *weight.shape):
        return _rows(weight)
    dense: NDArray[np.int16] = weight if isinstance(weight, np.ndarray) else weight.toarray()
    return Dense(np.ascontiguousarray(dense))


def _listed_is_smaller(stored: int, n_target: int, n_source: int) -> bool:
    """Whether a list of the non-zero weights, each with an index, takes fewer bits than all weights without."""
    return stored * (WEIGHT_BITS + index_bits(n_target)) < n_target * n_source * WEIGHT_BITS


def _rows(weight: Any) -> Sparse:
    """Compressed rows of the non-zero weights."""
    if isinstance(weight, np.ndarray):
        from scipy import sparse

        weight = sparse.csr_array(weight)
    elif not np.all(weight.data):
        weight = weight.copy()
        weight.eliminate_zeros()
    shape = (int(weight.shape[0]), int(weight.shape[1]))
    return Sparse(shape, weight.indptr.astype(np.int64), weight.indices.astype(np.int32, copy=False), weight.data)
