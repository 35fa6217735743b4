"""What a `Network` computes, step by step in floats: the meaning of the five options of `Semantics`, in readable numpy.

Within a step every node is worked out once, in the network's order: its input is the sum over its edges, an edge of
`network.feedback` handing on what its source sent in the step before. Neurons: `neurons`; the rest: `transforms`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from filopodia.errors import InputError
from filopodia.hardware.activity import Activity
from filopodia.hardware.network.build import NEURONS
from filopodia.hardware.network.delay import Past, delay_steps
from filopodia.hardware.network.fields import size
from filopodia.hardware.network.network import Network
from filopodia.hardware.network.neurons import Neuron, prepare, step
from filopodia.hardware.network.records import Records
from filopodia.hardware.network.transforms import transform

Floats = NDArray[np.floating[Any]]
Progress = Callable[[str, int, int], None]

RECORDS = ("spikes", "u", "v")
BATCH = 64  # samples run together


def simulate_network(
    network: Network,
    spikes: ArrayLike | Mapping[str, ArrayLike],
    *,
    record: Collection[str] = ("spikes",),
    dtype: Any = np.float32,
    threads: int | None = None,
    memory: int = 2**30,
    progress: Progress | None = None,
) -> Activity:
    """Run `network` on `spikes` [T, N, *input shape] (or one such array per input, by name) from rest, in float32 or float64.

    `record`: "spikes" keeps every spiking node's output [T, N, *shape] bool, "u" and "v" the synaptic current and the voltage
    after the step (in `states`). Outputs are always kept, under their own names: bool when all that leads to them spikes,
    else floats of `dtype`, and in `rates` their sum over time (int32, or floats).
    Samples run in batches, `threads` of them at a time (default: one per processor), within `memory` bytes including the
    result. `progress` is called with ("simulate", samples done, samples in all).
    `InputError` for inputs of a wrong name, shape or length, values that are not finite, or too little memory.
    """
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise InputError(f"dtype {dtype}", where="simulate", allowed="float32 or float64")
    unknown = [name for name in record if name not in RECORDS]
    if isinstance(record, str) or unknown:
        raise InputError(f"{record!r}", where="record", allowed=", ".join(map(repr, RECORDS)))
    entering = _inputs(network, spikes)
    steps, samples = (int(n) for n in next(iter(entering.values())).shape[:2])
    per_sample = dtype.itemsize * sum((4 + _past(network, name)) * size(shape) for name, shape in network.shapes.items())
    kept = Records(network, steps, samples, dtype, record, memory - per_sample)
    workers = threads or os.cpu_count() or 1
    width: int = max(1, min(BATCH, samples, (memory - kept.bytes) // (per_sample * workers)))

    def run_batch(start: int) -> int:
        stop = min(start + width, samples)
        batch = slice(start, stop)
        run = _Run(network, stop - start, dtype)
        for t in range(steps):
            run.step({name: values[t, batch] for name, values in entering.items()}, first=t == 0)
            kept.keep(t, batch, run.sent, run.u, run.v)
        return stop - start

    done = 0
    with ThreadPoolExecutor(workers) as pool:
        for count in pool.map(run_batch, range(0, samples, width)):
            done += count
            if progress is not None:
                progress("simulate", done, samples)
    return kept.activity(dtype.name)


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
                neuron = self.neurons[name] = prepare(node, network.semantics, dtype)
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


def _past(network: Network, name: str) -> int:
    """Steps of the past that a node keeps."""
    node, semantics = network.nodes[name], network.semantics
    if type(node).__name__ == "Delay":
        return int(delay_steps(node.delay.max(), semantics.dt)) + 1
    return semantics.output_delay if type(node).__name__ == "Output" else 0


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


def _inputs(network: Network, spikes: ArrayLike | Mapping[str, ArrayLike]) -> dict[str, NDArray[Any]]:
    """One checked array [T, N, *shape] per input."""
    if not isinstance(spikes, Mapping):
        if len(network.inputs) != 1:
            raise InputError(
                "one array for several inputs",
                where="spikes",
                allowed="a dict with an array for each of " + ", ".join(network.inputs),
            )
        spikes = {network.inputs[0]: spikes}
    if set(spikes) != set(network.inputs):
        raise InputError(f"inputs {', '.join(map(str, sorted(spikes)))}", where="spikes", allowed=", ".join(network.inputs))
    arrays = {name: np.asarray(spikes[name]) for name in network.inputs}
    lengths = {array.shape[:2] for array in arrays.values()}
    for name, array in arrays.items():
        wanted = network.shapes[name]
        if array.dtype.kind not in "biuf" or array.shape[2:] != wanted or array.ndim != len(wanted) + 2 or 0 in array.shape[:2]:
            raise InputError(
                f"{array.dtype} of shape {list(array.shape)}",
                where=f"spikes of input {name!r}",
                allowed=f"numbers [T, N, {', '.join(map(str, wanted))}], T and N at least 1",
            )
        if not np.isfinite(array).all():
            raise InputError("values that are not finite", where=f"spikes of input {name!r}", allowed="finite numbers")
    if len(lengths) != 1:
        raise InputError(f"steps and samples {sorted(lengths)}", where="spikes", allowed="one T and N for all inputs")
    return arrays
