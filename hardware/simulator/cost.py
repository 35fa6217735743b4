"""Which kernel is the cheaper one for a layer, from its weights and from the spikes that really arrive."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from filopodia.hardware.simulator.adders import WIDE
from filopodia.hardware.simulator.lane_plan import LanePlan
from filopodia.hardware.simulator.prepared import Prepared

# Nanoseconds on one core, fitted by hand to runs of each kernel on one machine; only their ratios decide, and never the result.
STEP, STEP_WORD = 3.9, 0.4  # kernel S, one step of its adders, and each of the words that it serves at once
ROW, ROW_WORD = 90.0, 10.0  # kernel S, one row of one chunk: the last sums, bytes from bit planes, update
ROW_BYTE = 1 / 70  # kernel G, one weight of one arriving spike
NEURON = 0.42  # kernel G, one neuron and step: update, list of spikes
TURN = 0.1  # between the two kernels' layouts, one neuron and step
DENSE_LANE = 8  # steps in a chunk


class Choice(Enum):
    """Kernel G (one sample after the other) or kernel S (all lanes of a tile at once)."""

    GATHER = "G"
    LANES = "S"


def choose(
    prepared: Prepared,
    index: int,
    plan: LanePlan,
    spikes: Mapping[str, float],
    samples: int,
    steps: int,
    width: int,
    as_bits: set[str],
    as_vectors: set[str],
) -> Choice:
    """The kernel for a layer of a tile, given the spikes of its sources in all of the tile."""
    layer = prepared.program.layers[index]
    node = prepared.nodes[layer.name]
    chunks = -(-steps // DENSE_LANE) * -(-samples // (8 * width))
    lanes = chunks * DENSE_LANE * 8 * width
    places = len(plan.out_place)
    s = 0.0
    for served, words in zip(plan.runs(WIDE // width), (WIDE, width), strict=True):
        row = len(plan.out_row) * (ROW + ROW_WORD * words)
        s += chunks * len(served) * (len(plan.adders.steps) * (STEP + STEP_WORD * words) + row)
    g = node.padded * samples * steps * NEURON
    for connection in prepared.program.into(layer.name):
        source = prepared.nodes[connection.source]
        fan = node.padded if places == 1 else _reach(prepared, index)
        g += spikes[connection.source] * fan * ROW_BYTE
        if connection.source not in as_vectors:
            s += source.size * lanes * TURN
        if connection.source not in as_bits:
            g += source.size * samples * steps * TURN
    return Choice.LANES if s < g else Choice.GATHER


def _reach(prepared: Prepared, index: int) -> float:
    """Dense weights that one spike meets in a convolution, on average over its places."""
    layer = prepared.program.layers[index]
    node = prepared.nodes[layer.name]
    table = prepared.program.into(layer.name)
    total = 0.0
    for connection in table:
        conv = connection.synapses
        source = prepared.nodes[connection.source]
        taps = conv.weight.shape[2] * conv.weight.shape[3]  # type: ignore[union-attr]
        total += taps * node.places / source.places * node.words * 64
    return total / len(table)
