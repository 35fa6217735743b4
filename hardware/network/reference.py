"""What a `Network` computes, step by step in floats: the meaning of the five options of `Semantics`, in readable numpy.

Within a step every node is worked out once, in the network's order: its input is the sum over its edges, an edge of
`network.feedback` handing on what its source sent in the step before. Neurons: `neurons`; the rest: `transforms`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.hardware.activity import Activity
from filopodia.hardware.network.build import NEURONS
from filopodia.hardware.network.delay import Past, delay_steps
from filopodia.hardware.network.network import Network
from filopodia.hardware.network.neurons import Neuron, prepare, step
from filopodia.hardware.network.records import Records, wanted
from filopodia.hardware.network.transforms import transform

Floats = NDArray[np.floating[Any]]


def run(network: Network, entering: Mapping[str, NDArray[Any]], record: Collection[str], dtype: np.dtype[Any]) -> Activity:
    """Run `network` on checked inputs [T, N, *shape], by name; see `simulate_network`, which computes the same faster."""
    steps, samples = (int(n) for n in next(iter(entering.values())).shape[:2])
    kept = Records(network, wanted(network, record), steps, samples, dtype, memory=2**40, beside=0)
    state = _Run(network, samples, dtype)
    for t in range(steps):
        state.step({name: values[t] for name, values in entering.items()}, first=t == 0)
        found: dict[str, Mapping[str, Floats | None]] = {"signal": state.sent, "u": state.u, "v": state.v}
        for (group, name), array in kept.of.items():
            array[t] = found[group][name]
    return kept.activity(dtype.name, record)


class _Run:
    """The state of one run: what each node sent last, each neuron's current and voltage, each Delay's past."""

    def __init__(self, network: Network, samples: int, dtype: np.dtype[Any]) -> None:
        self.network, self.dtype = network, dtype
        self.neurons: dict[str, Neuron] = {}
        self.u: dict[str, Floats | None] = {}
        self.v: dict[str, Floats] = {}
        self.pasts: dict[str, Past] = {}
        self.sent: dict[str, Floats] = {}
        feedback = set(network.feedback)
        self.sources = {name: [(s, (s, name) in feedback) for s in network.sources(name)] for name in network.nodes}
        for name, node in network.nodes.items():
            full = (samples, *network.shapes[name])
            kind = type(node).__name__
            if kind in NEURONS:
                neuron = self.neurons[name] = prepare(node, network.semantics, dtype, network.fixed_point.get(name, 0.0))
                self.v[name] = np.broadcast_to(neuron.start, full).astype(dtype)
                self.u[name] = None if neuron.syn_keep is None else np.zeros(full, dtype)
                self.sent[name] = np.zeros(full, dtype)
            elif kind == "Delay":
                self.pasts[name] = Past(delay_steps(node.delay, network.semantics.dt), full, dtype)
            elif kind == "Output" and network.semantics.output_delay:
                self.pasts[name] = Past(np.full(network.shapes[name], network.semantics.output_delay), full, dtype)
        self.silent_at_start = frozenset() if network.semantics.recurrent_input_at_start else only_recurrent(network)

    def step(self, entering: Mapping[str, NDArray[Any]], first: bool) -> None:
        """One step: `entering` [N, *shape] per input."""
        before = dict(self.sent)
        for name, past in self.pasts.items():  # what comes out late is known before anything goes in
            if past.least > 0:
                self.sent[name] = past.read()
        for name, node in self.network.nodes.items():
            if name in entering:
                self.sent[name] = entering[name].astype(self.dtype)
            elif name in self.neurons:
                x = self._sum(name, before)
                self.sent[name], self.u[name], self.v[name] = step(self.neurons[name], self.u[name], self.v[name], x)
            elif name not in self.pasts:
                self.sent[name] = transform(node, self._sum(name, before))
                if first and name in self.silent_at_start:
                    self.sent[name] = np.zeros_like(self.sent[name])
            elif self.pasts[name].least == 0:
                self.pasts[name].write(self._sum(name, before))
                self.sent[name] = self.pasts[name].read()
                self.pasts[name].advance()
        for name, past in self.pasts.items():
            if past.least > 0:
                past.write(self._sum(name, before))
                past.advance()

    def _sum(self, name: str, before: Mapping[str, Floats]) -> Floats:
        parts = [before[source] if late else self.sent[source] for source, late in self.sources[name]]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total


def only_recurrent(network: Network) -> frozenset[str]:
    """Stateless nodes that hear of nothing but neurons' last step: silent in the first step on some platforms."""
    feedback = set(network.feedback)
    found: set[str] = set()
    for name, node in network.nodes.items():
        if type(node).__name__ in (*NEURONS, "Input", "Delay"):
            continue
        if all((source, name) in feedback or source in found for source in network.sources(name)):
            found.add(name)
    return frozenset(found)
