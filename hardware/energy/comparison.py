"""Comparison: one run priced on its chip, its unpruned twin, the ANNs of its topology, and the verdict on each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from filopodia.errors import InputError
from filopodia.hardware.activity import Activity
from filopodia.hardware.chip import load_costs
from filopodia.hardware.energy.baselines import Baseline, ann, fair_bits
from filopodia.hardware.energy.count import count_events
from filopodia.hardware.energy.estimate import estimate_events
from filopodia.hardware.energy.events import LayerEvents, weight_format
from filopodia.hardware.energy.neurobench import metrics_of
from filopodia.hardware.energy.prices import FORMATS, Costs, Format
from filopodia.hardware.energy.result import Estimate
from filopodia.hardware.energy.verdict import Verdict, price_effects, verdict
from filopodia.hardware.energy.watch import Fed, watch
from filopodia.hardware.network.network import Network
from filopodia.hardware.program import Program


def unpruned_events(events: Mapping[str, LayerEvents], program: Program) -> dict[str, LayerEvents]:
    """The same spikes over every synapse the shapes allow: pruned and zero synapses become synops of the layer's format."""
    out = {}
    for name, layer in events.items():
        kinds = [weight_format(c) for c in program.into(name)]
        synops: dict[Format, Any] = {f: layer.synops[f] + layer.zeros[f] for f in FORMATS}
        if kinds:
            synops[kinds[0]] = synops[kinds[0]] + layer.pruned
        nothing = dict.fromkeys(FORMATS, np.zeros_like(layer.macs))
        out[name] = replace(layer, synops=synops, zeros=nothing, pruned=np.zeros_like(layer.macs))
    return out


@dataclass(frozen=True)
class Comparison:
    """One run against its baselines: `pruned` and `unpruned` are the SNN on its chip, `like_for_like` the pruned SNN on the
    logic of the ANNs (45 nm, int8), `anns` the ANNs.

    `verdicts` judge the SNN on its chip against each ANN; `like_for_like_verdicts` the SNN at 45 nm against those of int8.
    `metrics` are NeuroBench's.
    """

    pruned: Estimate
    unpruned: Estimate
    like_for_like: Estimate
    anns: tuple[Baseline, ...]
    verdicts: tuple[Verdict, ...]
    like_for_like_verdicts: tuple[Verdict, ...]
    metrics: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "pruned": self.pruned.to_dict(),
            "unpruned": self.unpruned.to_dict(),
            "like_for_like": self.like_for_like.to_dict(),
            "anns": [one.to_dict() for one in self.anns],
            "verdicts": msgspec.to_builtins(self.verdicts),
            "like_for_like_verdicts": msgspec.to_builtins(self.like_for_like_verdicts),
            "metrics": dict(self.metrics),
        }


def against_baselines(
    activity: Activity,
    program: Program,
    costs: str | Path | Costs | None = None,
    *,
    step_s: float | None = None,
    anns: Sequence[str] = ("cmos45/fp32", "cmos45/int8"),
    accuracies: Mapping[str, float] | None = None,
    network: Network | None = None,
    fed: Fed | None = None,
) -> Comparison:
    """Price a run, its unpruned twin and the ANNs of its topology: fp32, int8, the pruned int8 one and the QNN of
    ceil(log2(T + 1)) bits. `costs`, `step_s` as for `estimate`.

    `network`: what the program was compiled from. Give it where there is one: the ANNs then have the layers that were trained,
    and not what the compiler composed of them.

    `fed`: the spikes or messages [T, N, *shape] that went in. With them the run is made again in parts, to tell active neurons
    from idle ones and to count membrane updates (see `watch`), which an activity without u and v cannot.

    `accuracies`: of baselines that were trained, 0..1, by "table name" ("cmos45/int8 ANN"); the others are taken to be as
    accurate as the SNN, which each says among its assumptions.
    """
    events, moved = count_events(activity, program), None
    if fed is not None:
        events, moved = watch(events, activity, program, fed)
    table = load_costs(costs if costs is not None else program.chip or "loihi2")
    logic = load_costs("cmos45/int8")
    made = (
        *(ann(network or program, one) for one in anns),
        ann(network or program, logic, pruned=True),
        ann(network or program, logic, bits=fair_bits(activity.steps)),
    )
    known = dict(accuracies or {})
    names = [f"{one.costs} {one.name}" for one in made]
    for name in known:
        if name not in names:
            raise InputError(f"no baseline {name!r}", where="against_baselines: accuracies", allowed=", ".join(names))
    made = tuple(
        replace(one, accuracy=known[name])
        if name in known
        else replace(one, assumptions=(*one.assumptions, "its accuracy was not measured: taken to be the SNN's"))
        for one, name in zip(made, names, strict=True)
    )
    backend = activity.backend
    pruned = estimate_events(events, program, table, backend=backend, step_s=step_s)
    alike = estimate_events(events, program, logic, backend=backend, step_s=step_s)
    effects = price_effects(pruned, events, program, table)
    alike_effects = price_effects(alike, events, program, logic)
    on_logic = [one for one in made if one.costs == logic.name]
    return Comparison(
        pruned=pruned,
        unpruned=estimate_events(unpruned_events(events, program), program, table, backend=backend, step_s=step_s),
        like_for_like=alike,
        anns=made,
        verdicts=tuple(verdict(pruned, effects, program, table, one) for one in made),
        like_for_like_verdicts=tuple(verdict(alike, alike_effects, program, logic, one) for one in on_logic),
        metrics=metrics_of(events, activity, program, network, moved=moved),
    )
