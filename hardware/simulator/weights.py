"""Weights that act, worked out once per connection: tables, counts and bounds all ask for them."""

from __future__ import annotations

import weakref

import numpy as np
from numpy.typing import NDArray

from filopodia.hardware.program import Connection, Sparse
from filopodia.hardware.simulator import reference

_known: weakref.WeakKeyDictionary[Connection, NDArray[np.int16]] = weakref.WeakKeyDictionary()


def acting(connection: Connection) -> NDArray[np.int16]:
    """`reference.acting`, remembered where the connection's weights are read-only; the weights themselves where all act."""
    stored = connection.synapses.data if isinstance(connection.synapses, Sparse) else connection.synapses.weight
    if stored.flags.writeable:
        return reference.acting(connection)
    if connection not in _known:
        kept = reference.acting(connection)
        if np.array_equal(kept, stored):
            kept = stored
        kept.flags.writeable = False
        _known[connection] = kept
    return _known[connection]
