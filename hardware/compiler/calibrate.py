"""Calibration: roundings tried on real spikes, layer by layer, against what the network itself does in floats.

No labels are needed. Every layer is fed with the network's own spikes, so that layers do not inherit each other's errors, and
the rounding whose spikes differ least is taken: scale and clipping together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.errors import InputError
from filopodia.hardware.compiler import maps
from filopodia.hardware.compiler import scale as scales
from filopodia.hardware.compiler.adapt import adapt, second_moment
from filopodia.hardware.compiler.encode import encode
from filopodia.hardware.compiler.lower import ALWAYS_ON, Lowered
from filopodia.hardware.compiler.maps import MatrixMap
from filopodia.hardware.compiler.neurons import Population
from filopodia.hardware.compiler.quantize import Choice, Frame, QuantizedLayer, choices, limit, quantize, requantized
from filopodia.hardware.network.network import Network
from filopodia.hardware.network.simulate import simulate_network
from filopodia.hardware.program import Input, Program
from filopodia.hardware.simulator.simulate import simulate

TRIED = 8
"""Unclipped roundings tried per layer."""

REACHES = (0.95, 0.9, 0.8, 0.7, 0.6, 0.5)
"""Shares of the largest weight that the weights' range is tried to reach."""

SLOW = 64
"""Leaks of at most so many 4096ths per step are tried on both sides of their nearest field value."""

MARGIN = 1.25
"""By how much an input sum may exceed the largest one measured."""

PLACES = 2**22
"""Neurons x steps x samples per trial, at most; of more samples the first ones are used."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Golden:
    """What the network did: messages [T, N, n] of every input and spiking population, as floats or bool."""

    sent: Mapping[str, NDArray[Any]]
    steps: int

    def rates(self, program: Program) -> dict[str, NDArray[np.float64]]:
        """Spikes per step of every layer's neurons, [n]; layers that were not seen (relays) count as always on."""
        return {
            layer.name: self.sent[layer.name].mean(axis=(0, 1), dtype=np.float64)
            if layer.name in self.sent
            else np.ones(layer.size)
            for layer in program.layers
        }


def record(network: Network, lowered: Lowered, spikes: Any, encoded: Mapping[str, NDArray[Any]]) -> Golden:
    """Run the network in floats on calibration input; `encoded` holds the integer messages of graded inputs."""
    ran = simulate_network(network, spikes, record=("spikes",))
    if ran.steps < 1 or ran.samples < 1:
        raise InputError(f"{ran.steps} steps of {ran.samples} samples", where="calibration", allowed="at least one of each")
    flat = (ran.steps, ran.samples, -1)
    sent: dict[str, NDArray[Any]] = {name: values.reshape(flat) for name, values in encoded.items()}
    sent[ALWAYS_ON] = np.ones((ran.steps, ran.samples, 1), np.bool_)
    sent |= {name: values.reshape(flat) for name, values in ran.spikes.items() if name in lowered.populations}
    return Golden(sent, ran.steps)


def calibrate(neurons: Population, lowered: Lowered, frame: Frame, golden: Golden, measured: bool) -> QuantizedLayer:
    """The rounding of one layer with the fewest wrong spikes; reports their share as `mismatch` (see `Wrong`)."""
    incoming = lowered.into(neurons.name)
    heard = [golden.sent.get(p.source) for p in incoming]
    frame = replace(frame, steps=golden.steps)
    if any(one is None for one in heard) or not incoming:
        return quantize(neurons, incoming, frame)
    trial = _Trial(lowered, neurons, golden)
    if measured:
        frame = replace(frame, largest_sum=trial.largest_sum(quantize(neurons, incoming, frame), frame) * MARGIN)
    if neurons.name not in golden.sent:
        return quantize(neurons, incoming, frame)
    best: tuple[Wrong, QuantizedLayer] | None = None
    for choice in _tried(neurons, lowered, frame):
        made = quantize(neurons, incoming, frame, choice)
        wrong = trial.wrong(made, frame)
        if best is None or wrong.places < best[0].places:
            best = (wrong, made)
        if wrong.places == 0:
            break
    assert best is not None
    for improve in (_other_decay, _adapted):
        better = improve(neurons, best[1], frame, golden) if best[0].places else None
        if better is not None and (wrong := trial.wrong(better, frame)).places < best[0].places:
            best = (wrong, better)
    return replace(best[1], report={**best[1].report, "mismatch": best[0].share})


def measured(made: QuantizedLayer, lowered: Lowered, neurons: Population, frame: Frame, golden: Golden) -> QuantizedLayer:
    """The layer, with its wrong spikes against the golden ones in its report as `mismatch`, where these are known."""
    if neurons.name not in golden.sent or any(p.source not in golden.sent for p in lowered.into(neurons.name)):
        return made
    mismatch = _Trial(lowered, neurons, golden).wrong(made, frame).share
    return replace(made, report={**made.report, "mismatch": mismatch})


def _other_decay(neurons: Population, made: QuantizedLayer, frame: Frame, golden: Golden) -> QuantizedLayer | None:
    """The layer with its slow leak rounded to the other side;
    None where it is not slow."""
    lost = 4096 * (1 - neurons.keep_v)
    if not np.all((lost > 0) & (neurons.keep_v > 0)) or float(np.min(lost)) > SLOW:
        return None
    return requantized(neurons, made.connections, Choice(float(made.report["scale"]), decay="other"), frame)


def _adapted(neurons: Population, made: QuantizedLayer, frame: Frame, golden: Golden) -> QuantizedLayer | None:
    """The layer with weights rounded so that their errors cancel on the golden spikes."""
    if frame.wide:
        return None
    scale, keep = float(made.report["scale"]), float(max(np.max(neurons.keep_u), np.max(neurons.keep_v)))
    connections = []
    for connection in made.connections:
        map_ = connection.projection.map
        moment = second_moment(map_, golden.sent[connection.projection.source], keep)
        if moment is None:
            connections.append(connection)
            continue
        rows = len(moment)
        floats = _rows(map_.weight if isinstance(map_, MatrixMap) else maps.weights(map_), rows)
        whole = _rows(connection.weight, rows)
        better = adapt(floats, whole, 2.0**connection.exp / scale, moment).astype(np.int16)
        connections.append(replace(connection, weight=_like(connection.weight, better)))
    report = requantized(neurons, tuple(connections), Choice(scale), frame).report
    return QuantizedLayer(made.layer, tuple(connections), report)


def _rows(weight: Any, width: int) -> NDArray[Any]:
    """Weights as one dense row per neuron or channel."""
    dense = weight if isinstance(weight, np.ndarray) else weight.toarray()
    return np.asarray(dense).reshape(-1, width)


def _like(old: Any, rows: NDArray[np.int16]) -> Any:
    """Dense rows in the form of the old weights; the stored places of compressed rows stay the same."""
    if isinstance(old, np.ndarray):
        return rows.reshape(old.shape)
    made = old.copy()
    made.data = rows[np.repeat(np.arange(len(rows)), np.diff(old.indptr)), old.indices]
    return made


def _tried(neurons: Population, lowered: Lowered, frame: Frame) -> list[Choice]:
    """Roundings to try: the best without clipping, then those that clip the largest weights."""
    incoming = lowered.into(neurons.name)
    found = choices(neurons, incoming, frame)
    tried = found[:TRIED]
    if frame.wide or scales.error(incoming, tried[0].scale) < 1e-12:
        return tried
    top, highest = max(choice.scale for choice in found), limit(neurons, incoming, frame)
    threshold = scales.typical_threshold(neurons)
    for reach in REACHES:
        scale = top / reach
        if threshold > 0 and scale * threshold > 3:
            scale = (int(scale * threshold) - 1 | 1) / threshold
        if scale <= highest:
            tried.append(Choice(scale, reach))
    return tried


@dataclass(frozen=True)
class Wrong:
    """How far a layer in integers is from the golden spikes: `places` (steps x samples x neurons) where they differ, and
    `either`, where one fired or both. `share` is what `verify` calls the share of spikes that differ."""

    places: int
    either: int

    @property
    def share(self) -> float:
        return self.places / max(1, self.either)


class _Trial:
    """One layer on its own, fed with golden spikes."""

    def __init__(self, lowered: Lowered, neurons: Population, golden: Golden) -> None:
        incoming = lowered.into(neurons.name)
        sources = list(dict.fromkeys(p.source for p in incoming))
        self.neurons = neurons
        self.expected = golden.sent.get(neurons.name)
        width = sum(golden.sent[s].shape[2] for s in sources) + neurons.size
        samples = golden.sent[sources[0]].shape[1]
        self.used = max(1, min(samples, PLACES // max(1, golden.steps * width)))
        self.fed = {f"golden {s}": golden.sent[s][:, : self.used] for s in sources}
        self.shapes = {f"golden {s}": (1,) if s == ALWAYS_ON else lowered.shape(s) for s in sources}
        self.steps, self.memory = golden.steps, max(2**30, 64 * golden.steps * width)

    def program(self, made: QuantizedLayer, frame: Frame) -> Program:
        bits = {f"golden {name}": size.bit_length() if size > 1 else 0 for name, size in frame.messages.items()}
        connections = []
        for connection in made.connections:
            encoded = encode(connection, connection.projection.steps, bits[f"golden {connection.projection.source}"])
            connections.append(replace(encoded, source=f"golden {connection.projection.source}"))
        inputs = tuple(Input(name, shape, bits[name]) for name, shape in self.shapes.items())
        return Program(inputs, (made.layer,), tuple(connections), (made.layer.name,))

    def wrong(self, made: QuantizedLayer, frame: Frame) -> Wrong:
        """Where the integer layer and the float one differ."""
        assert self.expected is not None
        expected = self.expected[:, : self.used]
        ran = self._run(made, frame, "spikes").spikes[made.layer.name].reshape(expected.shape)
        return Wrong(int(np.count_nonzero(ran != expected)), int(np.count_nonzero((ran != 0) | (expected != 0))))

    def largest_sum(self, made: QuantizedLayer, frame: Frame) -> float:
        """The largest input sum, in the network's units."""
        current = replace(made, layer=replace(made.layer, du=np.asarray(4095, np.int32)))
        u = self._run(current, frame, "u").states["u"][made.layer.name]
        return float(max(u.max(), -int(u.min()))) / 64 / float(made.report["scale"])

    def _run(self, made: QuantizedLayer, frame: Frame, what: str) -> Any:
        fed = {name: x.reshape(*x.shape[:2], *self.shapes[name]) for name, x in self.fed.items()}
        return simulate(self.program(made, frame), fed, record=(what,), memory=self.memory)
