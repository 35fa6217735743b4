"""Terms: which events of a layer cost what, by a cost table."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from filopodia.hardware.energy.events import LayerEvents
from filopodia.hardware.energy.prices import FORMATS, ZERO, Costs, Evidence, Price, Range
from filopodia.hardware.program import Input, Program


@dataclass(frozen=True, eq=False)
class Term:
    """Events of one cause, int64 [G, T, N], and joules for each: None where the table has no price."""

    cause: str
    counts: NDArray[np.int64]
    price: Range | None
    evidence: Evidence | None


def priced_terms(layer: LayerEvents, program: Program, costs: Costs) -> list[Term]:
    """What happened in a layer or input, priced. An all-in price is paid for its event alone and holds the rest."""
    if isinstance(program.nodes[layer.name], Input):
        found = [_input(layer, costs)]
    else:
        found = [*_synaptic(layer, costs), *_updates(layer, costs), *_traffic(layer, costs)]
    if layer.name in program.outputs:
        found.append(_term("outputs", layer.spikes, costs.energy.get("output")))
    if costs.all_in:
        found = [_held(term, costs.all_in) for term in found]
    return [term for term in found if term.counts.any()]


def _term(cause: str, counts: NDArray[np.int64], price: Price | None) -> Term:
    return Term(cause, counts, price.si if price else None, price.evidence if price else None)


def _input(layer: LayerEvents, costs: Costs) -> Term:
    injected = layer.messages if layer.messages.any() else layer.spikes
    return _term("inputs", injected, costs.energy.get("input"))


def _synaptic(layer: LayerEvents, costs: Costs) -> list[Term]:
    found = []
    for weights in FORMATS:
        rule, price = costs.formats.get(weights), costs.synop("energy", weights)
        found.append(_term("synops", layer.synops[weights], price))
        if rule and rule.zeros == "executed":
            found.append(_term("stored zeros", layer.zeros[weights], price))
        if rule and rule.missing_columns == "executed":
            found.append(_term("missing columns", layer.missing[weights], price))
    found.append(_term("graded synops", layer.macs, costs.energy.get("mac")))
    if "weight_read" in costs.energy:
        found.append(_term("weight reads (bytes)", layer.all_synops * costs.weight_bytes, costs.energy["weight_read"]))
    return found


def _updates(layer: LayerEvents, costs: Costs) -> list[Term]:
    active, idle = costs.energy.get("update_active"), costs.energy.get("update_idle")
    if layer.active is not None:
        found = [
            _term("neuron updates, active", layer.active, active),
            _term("neuron updates, idle", layer.updates - layer.active, idle),
        ]
    else:
        either = _term("neuron updates", layer.updates, active)
        if active and idle:
            low = min(active.si.low, idle.si.low)
            either = replace(either, price=Range(low, active.si.nominal, max(active.si.high, idle.si.high)))
        found = [either]
    if "state_access" in costs.energy:
        read_and_written = layer.updates * (2 * costs.state_bytes)
        found.append(_term("state accesses (bytes)", read_and_written, costs.energy["state_access"]))
    return found


def _traffic(layer: LayerEvents, costs: Costs) -> list[Term]:
    return [
        _term("spikes", layer.spikes, costs.energy.get("spike")),
        _term("messages", layer.messages, costs.energy.get("message")),
        _term("hops", layer.hops_x, costs.energy.get("hop_x")),
        _term("hops", layer.hops_y, costs.energy.get("hop_y")),
        _term("chip crossings", layer.crossings, costs.energy.get("chip_crossing")),
    ]


def _held(term: Term, all_in: str) -> Term:
    """A term under an all-in price: paid, held by the price, or a kind of work that the price is not for."""
    paid = "graded synops" if all_in == "mac" else "synops"
    if term.cause == paid:
        return term
    if term.cause in ("synops", "graded synops"):
        return replace(term, price=None, evidence=None)
    return replace(term, price=ZERO, evidence=None)
