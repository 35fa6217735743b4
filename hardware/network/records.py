"""What a run of a network leaves behind: arrays [T, N, *shape], sized before anything runs."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.errors import InputError
from filopodia.hardware.activity import Activity
from filopodia.hardware.network.build import NEURONS, SPIKING
from filopodia.hardware.network.network import Network

Wanted = tuple[str, str, bool]


def wanted(network: Network, record: Collection[str]) -> list[Wanted]:
    """(group, name, boolean) of all that is kept.

    Groups: "signal" for outputs and, where "spikes" is recorded, spiking nodes; "u" and "v".
    """
    kinds = {name: type(node).__name__ for name, node in network.nodes.items()}
    found: list[Wanted] = []
    for name, kind in kinds.items():
        if name in network.outputs:
            found.append(("signal", name, _binary(network, name, kinds)))
        elif kind in SPIKING and "spikes" in record:
            found.append(("signal", name, True))
        if kind in NEURONS:
            states = ("u", "v") if kind.startswith("Cuba") else ("v",)
            found.extend((state, name, False) for state in states if state in record)
    return found


class Records:
    """The arrays, `of[group, name]`, booleans or floats of `dtype`; `bytes` is what they take.

    `InputError` where that and what one sample takes `beside` is more than `memory`, all in bytes.
    """

    def __init__(
        self, network: Network, keep: Sequence[Wanted], steps: int, samples: int, dtype: np.dtype[Any], memory: int, beside: int
    ) -> None:
        self.network, self.steps, self.samples = network, steps, samples
        kinds = {(group, name): np.dtype(np.bool_) if binary else dtype for group, name, binary in keep}
        shapes = {name: (steps, samples, *network.shapes[name]) for _, name, _ in keep}
        rates = sum(
            math.prod(shapes[name][1:]) * max(4, kind.itemsize) for (group, name), kind in kinds.items() if group == "signal"
        )
        self.bytes = rates + sum(math.prod(shapes[name]) * kind.itemsize for (_, name), kind in kinds.items())
        if self.bytes + beside > memory:
            raise InputError(
                f"memory of {memory} bytes cannot hold the result ({self.bytes} bytes) and one sample",
                where="simulate",
                allowed=f"at least {self.bytes + beside} bytes for {steps} steps of {samples} samples",
                fix="record less, give more memory, or fewer samples at a time",
            )
        self.of = {(group, name): np.zeros(shapes[name], kind) for (group, name), kind in kinds.items()}

    def activity(self, backend: str, record: Collection[str]) -> Activity:
        """The arrays as an `Activity`; rates are int32 for spikes and floats for anything else."""
        groups: dict[str, dict[str, NDArray[Any]]] = {key: {} for key in ("signal", *(s for s in ("u", "v") if s in record))}
        for (group, name), array in self.of.items():
            groups[group][name] = array
        signals = groups.pop("signal")
        return Activity(
            backend=backend,
            steps=self.steps,
            samples=self.samples,
            spikes=signals,
            rates={name: _over_time(array) for name, array in signals.items()},
            states=groups,
            metadata=dict(self.network.metadata),
        )


def _over_time(signal: NDArray[Any]) -> Any:
    """The sum over all steps, floats step after step: numpy's own sum takes another order where there is one value per step."""
    if signal.dtype == np.bool_:
        return signal.sum(axis=0, dtype=np.int32)
    total = np.zeros(signal.shape[1:], signal.dtype)
    for values in signal:
        total += values
    return total


def _binary(network: Network, output: str, kinds: Mapping[str, str]) -> bool:
    """Whether an output hands on the spikes of one node; a sum of two can be 2."""
    sources = network.sources(output)
    return len(sources) == 1 and kinds[sources[0]] in SPIKING
