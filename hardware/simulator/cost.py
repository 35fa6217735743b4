"""Which kernel is the cheaper one for a layer, from its weights and from the spikes that really arrive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from math import prod

import numpy as np

from filopodia.hardware.program import Conv
from filopodia.hardware.simulator.adders import WIDE
from filopodia.hardware.simulator.cut import Layout
from filopodia.hardware.simulator.lane_plan import LanePlan
from filopodia.hardware.simulator.prepared import Prepared

# Nanoseconds per unit of work on one core, as `benchmarks/simulator_cost.py` fits them; they decide the time, never the result.
LANES_NS = {
    "step": 1.9,  # of the adders
    "step word": 0.245,  # each of the words that it serves at once
    "row": 220.0,  # of one chunk: bytes from bit planes, update
    "row word": 2.5,
}
GATHER_NS = {
    "byte": 0.0090,  # a weight of an arriving spike, from the second cache
    "far byte": 0.013,  # the same where the layer's weights do not fit there
    "neuron": 0.43,  # and step: update, list of spikes
    "place": 90.0,  # and step
}
NEAR = 2**20  # bytes of weights that the second cache is taken to hold
TURN_NS = 0.05  # between the two kernels' layouts, one neuron and step


class Choice(Enum):
    """Kernel G (one sample after the other) or kernel S (all lanes of a tile at once)."""

    GATHER = "G"
    LANES = "S"


def lanes_work(plan: LanePlan, samples: int, steps: int, layout: Layout) -> dict[str, float]:
    """What kernel S does for a layer of a tile, by the names of `LANES_NS`."""
    chunks = prod(layout.vectors(steps, samples))
    work = dict.fromkeys(LANES_NS, 0.0)
    for served, words in zip(plan.runs(WIDE // layout.unit), (WIDE, layout.unit), strict=True):
        turns = chunks * len(served)
        work["step"] += turns * len(plan.adders.steps)
        work["step word"] += turns * len(plan.adders.steps) * words
        work["row"] += turns * len(plan.out_row)
        work["row word"] += turns * len(plan.out_row) * words
    return work


def gather_work(prepared: Prepared, index: int, spikes: Mapping[str, float], samples: int, steps: int) -> dict[str, float]:
    """What kernel G does for a layer of a tile, by the names of `GATHER_NS`, for `spikes` of each source in all of the tile."""
    layer = prepared.program.layers[index]
    node = prepared.nodes[layer.name]
    work = dict.fromkeys(GATHER_NS, 0.0)
    work["neuron"] = float(node.padded) * samples * steps
    for connection in prepared.program.into(layer.name):
        source = prepared.nodes[connection.source]
        weights, met = float(source.size * node.padded), float(node.padded)
        work["place"] += node.places * samples * steps
        if isinstance(connection.synapses, Conv):
            taps = int(np.prod(connection.synapses.weight.shape[2:]))
            weights, met = taps * source.channels * node.words * 64, taps * node.places / source.places * node.words * 64
        work["byte" if weights <= NEAR else "far byte"] += spikes[connection.source] * met
    return work


def nanoseconds(work: Mapping[str, float], of: Mapping[str, float]) -> float:
    """The time of some work at a price each."""
    return sum(of[name] * amount for name, amount in work.items())


@dataclass(frozen=True)
class Law:
    """Nanoseconds that a layer of a tile takes: on kernel S, on kernel G without a spike, and by source what comes on top."""

    lanes: float
    gather: float
    per_spike: dict[str, float]  # on kernel G
    to_lanes: dict[str, float]  # where a source is not in kernel S's layout yet
    to_bits: dict[str, float]  # where it is not in kernel G's


def law(prepared: Prepared, index: int, plan: LanePlan, samples: int, steps: int, layout: Layout) -> Law:
    """The law of a layer for tiles of this size, remembered."""
    key = (index, samples, steps, layout)
    if key not in prepared.laws:
        sizes = {name: prepared.nodes[name].size for name in plan.sources}

        def gathered(spikes: dict[str, float]) -> float:
            return nanoseconds(gather_work(prepared, index, dict.fromkeys(sizes, 0.0) | spikes, samples, steps), GATHER_NS)

        silent = gathered({})
        lanes = prod(layout.vectors(steps, samples)) * 64 * layout.unit
        prepared.laws[key] = Law(
            nanoseconds(lanes_work(plan, samples, steps, layout), LANES_NS),
            silent,
            {name: gathered({name: 1.0}) - silent for name in sizes},
            {name: size * lanes * TURN_NS for name, size in sizes.items()},
            {name: size * samples * steps * TURN_NS for name, size in sizes.items()},
        )
    found: Law = prepared.laws[key]
    return found


def choose(of: Law, spikes: Mapping[str, float], as_bits: set[str], as_vectors: set[str]) -> Choice:
    """The kernel for a layer, given the spikes of its sources in all of the tile and the layouts that they are in."""
    lanes, gather = of.lanes, of.gather
    for name, arrived in spikes.items():
        gather += arrived * of.per_spike[name]
        lanes += 0.0 if name in as_vectors else of.to_lanes[name]
        gather += 0.0 if name in as_bits else of.to_bits[name]
    return Choice.LANES if lanes < gather else Choice.GATHER
