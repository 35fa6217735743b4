"""Verdict: whether the SNN beats a baseline, how sure that is, what it hangs on, and what would turn it.

Dynamic energy is compared with dynamic energy, since a baseline has no static energy in it; the ratio with static energy
stands beside it. Where both are priced with one table, its prices move both. Spike-driven energy is taken to follow the spike
rate in proportion, updates to follow the steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import msgspec
import numpy as np

from filopodia.hardware.energy.baselines import Baseline
from filopodia.hardware.energy.estimate import estimate_events
from filopodia.hardware.energy.events import LayerEvents
from filopodia.hardware.energy.prices import Costs, Price, Range
from filopodia.hardware.energy.result import Cause, Estimate
from filopodia.hardware.energy.work import work
from filopodia.hardware.program import Program

UPDATES = ("neuron updates", "neuron updates, active", "neuron updates, idle", "state accesses (bytes)")
ENDS = ("low", "nominal", "high")
PRICED_BY = {"multiply-accumulates": "mac", "weight reads (bytes)": "weight_read", "activations (bytes)": "state_access"}
SYNAPTIC = ("synops", "graded synops", "stored zeros", "missing columns", "weight reads (bytes)")


@dataclass(frozen=True)
class Swing:
    """The SNN's dynamic energy over the baseline's with one price of `table` at its low and at its high, the others nominal.

    `turns`: the answer differs between the two ends, so the verdict hangs on this price.
    """

    table: str
    term: str
    at_low: float
    at_high: float
    turns: bool


@dataclass(frozen=True)
class Verdict:
    """An SNN against one baseline. `ratio` is its dynamic energy over the baseline's (below 1 the SNN wins): low takes the
    SNN's low and the baseline's high, and so on. `answer` is "open" when the interval holds 1, or when it lies below and some
    of the SNN's events have no price: its energy is a lower bound then. `with_static`: nominal
    ratio with the SNN's static energy, None where unknown.

    `rate`: spikes per neuron and step over all layers; `break_even_rate`: where energies would be equal, None when updates
    alone cost more. `steps_to_win`: most steps at this rate, None when one step costs more. `sparsity`: absent synapses;
    `sparsity_to_win`: the least sparsity at these spikes, None when no sparsity would do. `spikes_per_synapse`: synops per
    synapse of the shapes and inference. `swings` are ordered, the largest effect first. `sentences` say all this in words.
    """

    baseline: str
    baseline_costs: str
    costs: str
    ratio: Range
    answer: Literal["wins", "loses", "open"]
    with_static: float | None
    rate: float
    break_even_rate: float | None
    steps: int
    steps_to_win: int | None
    sparsity: float
    sparsity_to_win: float | None
    spikes_per_synapse: float
    swings: tuple[Swing, ...]
    sentences: tuple[str, ...]


Effects = Mapping[str, tuple[float, float]]


def verdict(found: Estimate, effects: Effects, program: Program, costs: Costs, baseline: Baseline) -> Verdict:
    """Judge an estimate, priced with `costs`, against a baseline; `effects` as `price_effects` finds them."""
    snn, other = found.dynamic.nominal, baseline.energy.nominal
    swings = _swings(found, effects, costs, baseline)
    ratio = _ratio(found, costs, baseline, swings)
    unpriced = tuple(cause.name for cause in found.by_cause if cause.energy is None and cause.count)
    answer: Literal["wins", "loses", "open"] = "loses" if ratio.low > 1 else "open" if ratio.high >= 1 or unpriced else "wins"
    nominal = {cause.name: cause.energy.nominal for cause in found.by_cause if cause.energy}
    fixed = sum(nominal.get(name, 0.0) for name in UPDATES)
    driven = snn - fixed
    synaptic = sum(nominal.get(name, 0.0) for name in SYNAPTIC)
    neurons = sum(layer.neurons for layer in found.by_layer)
    rate = sum(layer.spikes for layer in found.by_layer if layer.neurons) / (neurons * found.steps) if neurons else 0.0
    room = other - fixed
    break_even = rate * room / driven if driven > 0 and room > 0 else None
    most = math.floor(found.steps * other / snn) if snn > 0 else 0
    done = work(program)
    density = done.macs / done.dense_macs
    left = other - (snn - synaptic)
    needed = None
    if left > 0:
        needed = max(0.0, 1 - density * left / synaptic) if synaptic > 0 else 0.0
    out = Verdict(
        baseline=baseline.name,
        baseline_costs=baseline.costs,
        costs=found.costs,
        ratio=ratio,
        answer=answer,
        with_static=_over(found.total.nominal, other) if found.static else None,
        rate=rate,
        break_even_rate=break_even,
        steps=found.steps,
        steps_to_win=most or None,
        sparsity=1 - density,
        sparsity_to_win=needed,
        spikes_per_synapse=found.synop_spread.mean / done.dense_macs,
        swings=swings,
        sentences=(),
    )
    return replace(out, sentences=_sentences(out, unpriced))


def price_effects(found: Estimate, events: Mapping[str, LayerEvents], program: Program, costs: Costs) -> Effects:
    """The SNN's nominal dynamic energy, joules per sample, with each energy price at its low and at its high."""
    sums = {name: _summed(layer) for name, layer in events.items()}
    out = {}
    for term, price in costs.energy.items():
        ends = []
        for value in (price.low, price.high):
            fixed = msgspec.structs.replace(price, low=value, nominal=value, high=value)
            energy: dict[str, Price] = {**costs.energy, term: fixed}
            moved = estimate_events(sums, program, msgspec.structs.replace(costs, energy=energy, time={}, barrier=()))
            ends.append(moved.dynamic.nominal / found.samples)
        out[term] = (ends[0], ends[1])
    return out


def _over(a: float, b: float) -> float:
    return a / b if b > 0 else math.inf


def _ratio(found: Estimate, costs: Costs, baseline: Baseline, swings: Sequence[Swing]) -> Range:
    """SNN over baseline. Priced with one table, both move with its prices, one or all at a time; else either may err."""
    snn, other = found.dynamic, baseline.energy
    if costs.name != baseline.costs:
        return Range(_over(snn.low, other.high), _over(snn.nominal, other.nominal), _over(snn.high, other.low))
    shared = [_over(getattr(snn, end), sum(_at(costs, cause, end) for cause in baseline.causes)) for end in ENDS]
    reused = other.high / sum(_at(costs, cause, "high") for cause in baseline.causes)  # more than 1: weights fetched again
    alone = [end for swing in swings for end in (swing.at_low, swing.at_high)]
    return Range(min(shared + alone) / max(reused, 1.0), _over(snn.nominal, other.nominal), max(shared + alone))


def _at(costs: Costs, cause: Cause, end: str) -> float:
    """A baseline's joules of one cause with its price at an end of its range, and the same use of it."""
    price = costs.energy[PRICED_BY[cause.name]].si
    return cause.energy.nominal * getattr(price, end) / price.nominal if cause.energy and price.nominal else 0.0


def _swings(found: Estimate, effects: Effects, costs: Costs, baseline: Baseline) -> tuple[Swing, ...]:
    snn, other = found.dynamic.nominal, baseline.energy.nominal
    together = costs.name == baseline.costs
    swings = []
    for term, (low, high) in effects.items():
        at = {"low": other, "high": other}
        for cause in baseline.causes:
            if together and PRICED_BY[cause.name] == term and cause.energy:
                at = {end: other - cause.energy.nominal + _at(costs, cause, end) for end in at}
        swings.append(_swing(costs.name, term, _over(low, at["low"]), _over(high, at["high"])))
    for cause in baseline.causes:
        if cause.energy is None or together:
            continue
        rest = other - cause.energy.nominal
        at_low, at_high = _over(snn, rest + cause.energy.low), _over(snn, rest + cause.energy.high)
        swings.append(_swing(baseline.costs, cause.name, at_low, at_high))
    moving = [swing for swing in swings if swing.at_low != swing.at_high]
    return tuple(sorted(moving, key=lambda s: (-abs(s.at_high - s.at_low), s.table, s.term)))


def _swing(table: str, term: str, at_low: float, at_high: float) -> Swing:
    return Swing(table, term, at_low, at_high, turns=(at_low < 1) != (at_high < 1))


def _summed(layer: LayerEvents) -> LayerEvents:
    """All cores, steps and samples of a layer in one: arrays [1, 1, 1]."""

    def one(values: object) -> object:
        if isinstance(values, np.ndarray) and values.ndim == 3:
            return values.sum(dtype=np.int64).reshape(1, 1, 1)
        if isinstance(values, Mapping):
            return {key: one(value) for key, value in values.items()}
        return values

    fields = {name: one(value) for name, value in vars(layer).items()}
    return replace(layer, **{**fields, "cores": (), "neurons": layer.neurons.sum(keepdims=True)})


def _sentences(v: Verdict, unpriced: Sequence[str]) -> tuple[str, ...]:
    if v.ratio.nominal == 0:
        return (f"Nothing that the SNN does has a price in {v.costs}: there is no verdict.",)
    against = f"the {v.baseline} ({v.baseline_costs})"
    factor = f"{v.ratio.nominal:.3g} [{v.ratio.low:.3g}, {v.ratio.high:.3g}] times the dynamic energy of {against}"
    likely = "more likely wins" if v.ratio.nominal < 1 else "more likely loses"
    said = {"wins": "The SNN wins", "loses": "The SNN loses", "open": f"Open: the SNN {likely}"}[v.answer]
    out = [f"{said}: it takes {factor}, priced with {v.costs}."]
    if unpriced:
        out.append(f"A lower bound: the table has no price for {', '.join(unpriced)}.")
    if v.with_static is not None:
        out.append(f"With the chip's static energy the ratio is {v.with_static:.3g}; the baseline's has none in it.")
    if v.break_even_rate is None:
        out.append("No spike rate would make them equal: its neuron updates alone cost more.")
    else:
        out.append(f"It breaks even at {v.break_even_rate:.3g} spikes per neuron and step; it has {v.rate:.3g}.")
    if v.steps_to_win is None:
        out.append("Even a single step at this rate costs more.")
    else:
        out.append(f"At this rate it wins with up to {v.steps_to_win} step{'s'[: v.steps_to_win > 1]}; it takes {v.steps}.")
    if v.sparsity_to_win is None:
        out.append("No sparsity of its synapses would do: the rest alone costs more.")
    else:
        out.append(f"At these spikes it needs a synapse sparsity of {v.sparsity_to_win:.1%}; it has {v.sparsity:.1%}.")
    turning = [f"{s.term} ({s.table})" for s in v.swings if s.turns]
    out.append(f"The verdict hangs on: {', '.join(turning)}." if turning else "No single price turns the verdict.")
    return tuple(out)
