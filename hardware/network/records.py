"""What a run of a network leaves behind: arrays [T, N, *shape], sized before anything runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.errors import InputError
from filopodia.hardware.activity import Activity
from filopodia.hardware.network.build import NEURONS, SPIKING
from filopodia.hardware.network.network import Network


class Records:
    """`signals`: outputs, and spiking nodes where "spikes" is recorded; `states`: "u" and "v" of neurons where they are.

    `bytes` is what they take. `InputError` where that is more than `memory`.
    """

    def __init__(
        self, network: Network, steps: int, samples: int, dtype: np.dtype[Any], record: Collection[str], memory: int
    ) -> None:
        self.network, self.steps, self.samples = network, steps, samples
        kinds = {name: type(node).__name__ for name, node in network.nodes.items()}
        wanted: list[tuple[str, str, Any]] = []
        for name, kind in kinds.items():
            if name in network.outputs:
                wanted.append(("signal", name, np.bool_ if _binary(network, name, kinds) else dtype))
            elif kind in SPIKING and "spikes" in record:
                wanted.append(("signal", name, np.bool_))
            if kind in NEURONS:
                states = ("u", "v") if kind.startswith("Cuba") else ("v",)
                wanted.extend((state, name, dtype) for state in states if state in record)
        shapes = {name: (steps, samples, *network.shapes[name]) for _, name, _ in wanted}
        self.bytes = sum(int(np.prod(shapes[name], dtype=np.float64)) * np.dtype(kept).itemsize for _, name, kept in wanted)
        if self.bytes > memory:
            raise InputError(
                f"a result of {self.bytes} bytes, and the work of one sample, do not fit",
                where="simulate",
                allowed=f"memory (now {memory} bytes beside the work)",
                fix="record less, run fewer samples, or raise memory=...",
            )
        self.signals: dict[str, NDArray[Any]] = {}
        self.states: dict[str, dict[str, NDArray[Any]]] = {key: {} for key in ("u", "v") if key in record}
        for group, name, kept in wanted:
            (self.signals if group == "signal" else self.states[group])[name] = np.zeros(shapes[name], kept)

    def keep(
        self,
        t: int,
        batch: slice,
        sent: Mapping[str, NDArray[Any]],
        u: Mapping[str, NDArray[Any] | None],
        v: Mapping[str, NDArray[Any]],
    ) -> None:
        """Take step `t` of the samples in `batch`: what each node sent, currents and voltages."""
        for name, array in self.signals.items():
            array[t, batch] = sent[name]
        for name, array in self.states.get("u", {}).items():
            array[t, batch] = u[name]
        for name, array in self.states.get("v", {}).items():
            array[t, batch] = v[name]

    def activity(self, backend: str) -> Activity:
        """The arrays as an `Activity`; rates are int32 for spikes and floats for anything else."""
        rates: dict[str, Any] = {}
        for name, array in self.signals.items():
            rates[name] = array.sum(axis=0, dtype=np.int32 if array.dtype == np.bool_ else array.dtype)
        return Activity(
            backend=backend,
            steps=self.steps,
            samples=self.samples,
            spikes=self.signals,
            rates=rates,
            states=self.states,
            metadata=dict(self.network.metadata),
        )


def _binary(network: Network, output: str, kinds: Mapping[str, str]) -> bool:
    """Whether an output hands on the spikes of one node; a sum of two can be 2."""
    sources = network.sources(output)
    return len(sources) == 1 and kinds[sources[0]] in SPIKING
