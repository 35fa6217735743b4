"""Encoding: the form in which a connection is kept, chosen by the bytes it takes on a chip."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.hardware.compiler.maps import ConvMap
from filopodia.hardware.compiler.quantize import QuantizedConnection
from filopodia.hardware.compiler.resources import WEIGHT_BITS, index_bits
from filopodia.hardware.program import Connection, Conv, Dense, Sparse, Synapses


def encode(quantized: QuantizedConnection, delay: int, message_bits: int) -> Connection:
    """The connection with its synapses as Conv (shared weights), Dense or Sparse, whichever of the last two is smaller."""
    projection = quantized.projection
    return Connection(
        source=projection.source,
        target=projection.target,
        synapses=_synapses(quantized),
        weight_exp=quantized.exp,
        message_bits=message_bits,
        delay=delay,
    )


def _synapses(quantized: QuantizedConnection) -> Synapses:
    map_, weight = quantized.projection.map, quantized.weight
    if isinstance(map_, ConvMap):
        return Conv(np.ascontiguousarray(weight), map_.stride, map_.padding, map_.dilation, map_.groups)
    stored = int(np.count_nonzero(weight if isinstance(weight, np.ndarray) else weight.data))
    n_target, n_source = weight.shape
    listed = stored * (WEIGHT_BITS + index_bits(n_target))
    if listed < n_target * n_source * WEIGHT_BITS:
        return _rows(weight)
    dense: NDArray[np.int16] = weight if isinstance(weight, np.ndarray) else weight.toarray()
    return Dense(np.ascontiguousarray(dense))


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
