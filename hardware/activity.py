"""Activity: what a run did, in sample time, the same whether the simulator, Lava or the float reference made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.hardware.show import Brief, show_activity


@dataclass(frozen=True, eq=False, repr=False)
class Counts(Brief):
    """Exact event counts of one layer, each int64 [T, N].

    `synops`: spikes arriving over non-zero synapses (graded messages included, once per synapse), the sum over all
    connections into the layer, counted in the step in which the target layer handles them. `spikes`: messages the layer
    sent (non-zero outputs). `updates`: neurons updated. `messages`: spike x destination core, 0 where not placed.
    For an input, only `spikes` and `messages` are non-zero.
    """

    spikes: NDArray[np.int64]
    synops: NDArray[np.int64]
    updates: NDArray[np.int64]
    messages: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Activity:
    """Spikes, recorded state and counts of a run over T steps and N samples.

    `spikes[name]` is [T, N, *shape]: bool for binary layers and inputs, int32 for graded ones, and holds the layers that were
    recorded. `states["u"][layer]`, `states["v"][layer]` are [T, N, *shape], int32 for programs and float for networks, after
    the step's update and reset. `rates[name]` is [N, *shape] int32: spikes summed over time, always there for outputs.
    `backend` says who ran it: "simulator", "lava 0.10.0" or "float32".
    """

    backend: str
    steps: int
    samples: int
    spikes: Mapping[str, NDArray[Any]]
    rates: Mapping[str, NDArray[np.int32]]
    states: Mapping[str, Mapping[str, NDArray[Any]]] = field(default_factory=dict)
    counts: Mapping[str, Counts] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return show_activity(self)

    def predictions(self, output: str, classes: int, votes: int = 1) -> NDArray[np.int64]:
        """Class per sample [N]: most spikes over time, `votes` neurons per class side by side; ties go to the lower class."""
        rates = self.rates[output].reshape(self.samples, classes, votes).sum(axis=2)
        best: NDArray[np.int64] = rates.argmax(axis=1)
        return best
