"""Latency: a step lasts as long as its slowest core, then all synchronise.

    step = barrier(tiles) + route + max over cores of max(neuron phase, synapse phase)
    neuron phase  = updates * t_update + spikes * t_spike + messages * t_message
    synapse phase = arrivals * t_arrival + sum over formats of synops * t_synop[format]

`route` is the longest mean way of a core's messages. Steps are chip time: samples stream back to back, the first one again
after the last, and a layer handles a sample `latency` steps after the input does, so in one step different layers work on
different samples.
Without a placement, or without spikes to place, every layer counts as one core.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from filopodia.hardware.energy.events import LayerEvents
from filopodia.hardware.energy.prices import FORMATS, Costs, Format, Range
from filopodia.hardware.program import Layer, Program

Floats = NDArray[np.float64]
End = Literal["low", "nominal", "high"]
ENDS: tuple[End, ...] = ("low", "nominal", "high")


@dataclass(frozen=True, eq=False)
class StepTimes:
    """Times in seconds, by end of the prices' ranges. `steps[end]` [K]: every chip step of the stream of samples, K = T * N.

    `busy` [C, K] (nominal): time each core works per step; `names` [C]: core numbers or, without placement, layer names.
    """

    steps: Mapping[End, Floats]
    busy: Floats
    names: tuple[str, ...]
    depth: int

    def paced(self, step_s: float) -> StepTimes:
        """The same with no step shorter than `step_s` seconds."""
        return replace(self, steps={end: np.maximum(steps, step_s) for end, steps in self.steps.items()})

    def per_sample(self, samples: int) -> Range:
        """Mean time between samples of the stream, seconds."""
        return Range(*(float(self.steps[end].sum()) / samples for end in ENDS))

    def sample_latency(self, samples: int, length: int, end: End = "nominal") -> Floats:
        """Time from a sample's first step at the input to its last step at the last layer, seconds [N]."""
        turns = 2 + self.depth // (samples * length)  # the stream goes round
        summed = np.concatenate([[0.0], np.cumsum(np.tile(self.steps[end], turns))])
        start = np.arange(samples) * length
        latency: Floats = summed[start + length + self.depth] - summed[start]
        return latency


def step_times(
    program: Program,
    events: Mapping[str, LayerEvents],
    costs: Costs,
    synop_s: Mapping[str, float] | None = None,
) -> StepTimes | None:
    """Time of every chip step of a run, or None where the cost table prices no time for its synops.

    `synop_s`: seconds per synop of single layers, as measured, instead of the table's.
    """
    own = synop_s or {}
    formats = {f for e in events.values() for f in FORMATS if e.synops[f].any()}
    if any(costs.synop("time", f) is None for f in formats) or not ("update" in costs.time or formats):
        return None
    placed = any(e.cores for e in events.values())
    names = tuple(str(core.index) for core in program.cores) if placed else tuple(layer.name for layer in program.layers)
    rows = {name: i for i, name in enumerate(names)}
    depth = max((layer.latency for layer in program.layers), default=0)
    some = next(iter(events.values())).spikes
    length = some.shape[1] * some.shape[2]
    tiles = len({(c.chip, *c.position[:2]) for c in program.cores}) or max(-(-len(names) // costs.cores_per_tile), 1)
    steps: dict[End, Floats] = {}
    busy = np.zeros((len(names), length))
    for end in ENDS:
        neuron, synapse = np.zeros((len(names), length)), np.zeros((len(names), length))
        route = np.zeros(length)
        for layer in program.layers:
            mine = events[layer.name]
            where = [rows[str(program.cores[core].index)] for core in mine.cores] or [rows[layer.name]] * bool(
                len(mine.neurons)
            )
            for group, row in enumerate(where):
                neuron[row] += _stream(_neuron_phase(mine, group, costs, end), layer)
                synapse[row] += _stream(_synapse_phase(mine, group, costs, end, own.get(layer.name)), layer)
                route = np.maximum(route, _stream(_route(mine, group, costs, end), layer))
        work = np.maximum(neuron, synapse)
        steps[end] = getattr(costs.synchronisation(tiles), end) + route + work.max(axis=0, initial=0.0)
        if end == "nominal":
            busy = work
    return StepTimes(steps, busy, names, depth)


def _stream(times: Floats, layer: Layer) -> Floats:
    """[T, N] as the stream of chip steps: all steps of the first sample, then of the second, as late as the layer is."""
    late: Floats = np.roll(times.T.reshape(-1), layer.latency)
    return late


def _price(costs: Costs, term: str, end: End) -> float:
    price = costs.time.get(term)
    return float(getattr(price.si, end)) if price else 0.0


def executed(events: LayerEvents, group: int, weights: Format, costs: Costs) -> NDArray[np.int64]:
    """Synops a core works through in a format, [T, N]: stored zeros and missing columns too where the chip executes them."""
    out: NDArray[np.int64] = events.synops[weights][group]
    rule = costs.formats.get(weights)
    if rule and rule.zeros == "executed":
        out = out + events.zeros[weights][group]
    if rule and rule.missing_columns == "executed":
        out = out + events.missing[weights][group]
    return out


def _neuron_phase(events: LayerEvents, group: int, costs: Costs, end: End) -> Floats:
    out: Floats = events.updates[group] * _price(costs, "update", end)
    out += events.spikes[group] * _price(costs, "spike", end)
    out += events.messages[group] * _price(costs, "message", end)
    return out


def _synapse_phase(events: LayerEvents, group: int, costs: Costs, end: End, own: float | None) -> Floats:
    out: Floats = events.arrivals[group] * _price(costs, "arrival", end)
    for weights in FORMATS:
        price = costs.synop("time", weights)
        if price:
            out += executed(events, group, weights, costs) * (getattr(price.si, end) if own is None else own)
    out += events.macs[group] * _price(costs, "synop", end)
    return out


def _route(events: LayerEvents, group: int, costs: Costs, end: End) -> Floats:
    hops = events.hops_x[group] + events.hops_y[group]
    mean: Floats = hops / np.maximum(events.messages[group], 1) * _price(costs, "hop", end)
    return mean
