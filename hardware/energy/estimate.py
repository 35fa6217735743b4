"""Estimate: what a run costs on a chip, in joules and seconds, with how sure that is and what is not in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from filopodia.errors import InputError
from filopodia.hardware.activity import Activity
from filopodia.hardware.chip import load_costs
from filopodia.hardware.energy.count import count_events
from filopodia.hardware.energy.events import LayerEvents, weight_format
from filopodia.hardware.energy.latency import ENDS, StepTimes, step_times
from filopodia.hardware.energy.prices import ZERO, Costs, Evidence, Price, Range, total
from filopodia.hardware.energy.result import Cause, Constant, CoreEstimate, Estimate, LayerEstimate, Spread, Timing
from filopodia.hardware.energy.terms import Term, priced_terms
from filopodia.hardware.program import Input, Program


def estimate(
    activity: Activity,
    program: Program,
    costs: str | Path | Costs | None = None,
    *,
    step_s: float | None = None,
    synop_s: Mapping[str, float] | None = None,
) -> Estimate:
    """Price a run: `costs` names a cost table ("loihi1/davies2018"), by default that of the program's chip (of Loihi 2 where it
    names none).

    `step_s`: the chip is paced at this many seconds per step (a robot or an ear in real time) and waits out the rest; without,
    it runs as fast as it can. `synop_s`: seconds per synop of single layers, where measured ones are at hand, instead of the
    table's. Pricing is apart from placement: one run can be priced by any table.
    Raises InputError for an activity of another program or weights in a format the chip does not have, FileError for a table.
    """
    table = load_costs(costs if costs is not None else program.chip or "loihi2")
    events = count_events(activity, program)
    return estimate_events(events, program, table, backend=activity.backend, step_s=step_s, synop_s=synop_s)


def estimate_events(
    events: Mapping[str, LayerEvents],
    program: Program,
    costs: Costs,
    *,
    backend: str = "",
    step_s: float | None = None,
    synop_s: Mapping[str, float] | None = None,
) -> Estimate:
    """Price counted events (see `estimate`)."""
    _check_formats(program, costs)
    if step_s is not None and not step_s > 0:
        raise InputError(f"step_s = {step_s!r}", where="estimate", allowed="a number of seconds > 0, or None")
    _, steps, samples = next(iter(events.values())).spikes.shape
    terms = {name: priced_terms(layer, program, costs) for name, layer in events.items()}
    causes: dict[str, list[Cause]] = {name: _causes(mine, samples) for name, mine in terms.items()}
    by_layer = tuple(_layer(events[name], causes[name], program, steps, samples) for name in events)
    by_cause = _sum_causes([cause for mine in causes.values() for cause in mine])
    per_sample = np.zeros(samples)
    for mine in terms.values():
        for term in mine:
            per_sample += term.counts.sum(axis=(0, 1)) * (term.price.nominal if term.price else 0.0)
    dynamic = total(layer.energy for layer in by_layer)
    for name in synop_s or {}:
        if name not in events:
            raise InputError(f"no layer named {name!r}", where="estimate: synop_s", allowed=", ".join(events))
    times = step_times(program, events, costs, synop_s)
    slow = float((times.steps["nominal"] > step_s).mean()) if times and step_s else 0.0
    if times and step_s:
        times = times.paced(step_s)
    depth = max((layer.latency for layer in program.layers), default=0)
    timing = _timing(times, depth, steps, samples, step_s)
    chips = len({core.chip for core in program.cores}) or 1
    placed = any(layer.cores for layer in events.values())
    unpriced = [f"{c.name} ({c.count:.6g} per sample)" for c in by_cause if c.energy is None and c.count]
    static, host = None, None
    if not costs.all_in:
        static = _power({"static_chip": chips, "static_core": len(program.cores)}, costs, timing)
        if static is None:
            unpriced.append(
                "static power" if not {"static_chip", "static_core"} & set(costs.power) else "static energy (no time)"
            )
    if "host" in costs.power:
        host = _power({"host": 1}, costs, timing)
    whole = dynamic + (static or ZERO)
    return Estimate(
        costs=costs.name,
        title=costs.title,
        conditions=costs.conditions,
        chip=program.chip,
        backend=backend,
        steps=steps,
        samples=samples,
        placed=placed,
        all_in=costs.all_in is not None,
        dynamic=dynamic,
        static=static,
        host=host,
        total=whole,
        edp=whole.times(timing.period) if timing else None,
        timing=timing,
        by_cause=by_cause,
        by_layer=by_layer,
        by_core=_by_core(events, terms, program, samples, times) if placed else (),
        dynamic_spread=_spread(per_sample),
        synop_spread=_spread(sum((e.all_synops.sum(axis=(0, 1)) for e in events.values()), np.zeros(samples))),
        latency_spread=_spread(times.sample_latency(samples, steps)) if times else None,
        unpriced=tuple(unpriced),
        uncounted=_uncounted(program, placed),
        assumptions=_assumptions(events, program, costs, step_s, slow),
        constants=_constants(costs, timing is not None),
        evidence=_evidence(terms),
    )


def _causes(terms: list[Term], samples: int) -> list[Cause]:
    out = []
    for term in terms:
        count = float(term.counts.sum()) / samples
        out.append(Cause(term.cause, count, term.price * count if term.price is not None else None))
    return list(_sum_causes(out))


def _sum_causes(causes: list[Cause]) -> tuple[Cause, ...]:
    counts: dict[str, float] = defaultdict(float)
    energy: dict[str, Range | None] = {}
    for cause in causes:
        counts[cause.name] += cause.count
        known = energy.get(cause.name, ZERO)
        energy[cause.name] = known + cause.energy if known is not None and cause.energy is not None else None
    return tuple(Cause(name, counts[name], energy[name]) for name in counts)


def _evidence(terms: Mapping[str, list[Term]]) -> dict[Evidence, float]:
    joules: dict[Evidence, float] = defaultdict(float)
    for term in (term for mine in terms.values() for term in mine):
        if term.price is not None and term.evidence is not None:
            joules[term.evidence] += float(term.counts.sum()) * term.price.nominal
    whole = sum(joules.values())
    return {grade: share / whole for grade, share in joules.items() if whole > 0}


def _layer(events: LayerEvents, causes: list[Cause], program: Program, steps: int, samples: int) -> LayerEstimate:
    size = program.nodes[events.name].size
    spikes = float(events.spikes.sum()) / samples
    return LayerEstimate(
        name=events.name,
        neurons=0 if isinstance(program.nodes[events.name], Input) else size,
        cores=len(events.cores),
        spikes=spikes,
        rate=spikes / (size * steps),
        synops=float(events.all_synops.sum()) / samples,
        updates=float(events.updates.sum()) / samples,
        messages=float(events.messages.sum()) / samples,
        energy=total(cause.energy for cause in causes if cause.energy is not None),
        causes=tuple(causes),
    )


def _by_core(
    events: Mapping[str, LayerEvents],
    terms: Mapping[str, list[Term]],
    program: Program,
    samples: int,
    times: StepTimes | None,
) -> tuple[CoreEstimate, ...]:
    energy = [ZERO] * len(program.cores)
    synops = [0.0] * len(program.cores)
    for name, layer in events.items():
        for group, core in enumerate(layer.cores):
            synops[core] += float(layer.all_synops[group].sum()) / samples
            for term in terms[name]:
                if term.price is not None:
                    energy[core] = energy[core] + term.price * (float(term.counts[group].sum()) / samples)
    return tuple(
        CoreEstimate(
            index=core.index,
            layers=tuple(core.neurons),
            neurons=sum(len(held) for held in core.neurons.values()),
            synops=synops[i],
            energy=energy[i],
            busy_s=float(times.busy[i].mean()) if times else None,
        )
        for i, core in enumerate(program.cores)
    )


def _timing(times: StepTimes | None, depth: int, steps: int, samples: int, step_s: float | None) -> Timing | None:
    if times is None and step_s is None:
        return None
    bottleneck, share, imbalance = "", 0.0, 1.0
    if times is not None:
        slowest = times.busy.argmax(axis=0)
        often = np.bincount(slowest, minlength=len(times.names))
        bottleneck, share = times.names[int(often.argmax())], float(often.max() / often.sum())
        mean = times.busy.mean(axis=1)
        imbalance = float(mean.max() / mean.mean()) if mean.any() else 1.0
        period = times.per_sample(samples)
        latency = Range(*(float(times.sample_latency(samples, steps, end).mean()) for end in ENDS))
        step = Range(*(float(times.steps[end].mean()) for end in ENDS))
    else:
        pace = step_s or 0.0
        step = Range(pace, pace, pace)
        period, latency = step * steps, step * (steps + depth)
    return Timing(
        period=period,
        latency=latency,
        step=step,
        throughput=1 / period.nominal if period.nominal else 0.0,
        bottleneck=bottleneck,
        bottleneck_share=share,
        imbalance=imbalance,
        paced=step_s is not None,
    )


def _power(units: Mapping[str, int], costs: Costs, timing: Timing | None) -> Range | None:
    """Joules per sample of the priced powers, None without a price or a time."""
    priced = [(costs.power[term].si, n) for term, n in units.items() if term in costs.power]
    if not priced or timing is None:
        return None
    return total(watts * n for watts, n in priced).times(timing.period)


def _spread(values: NDArray[np.float64]) -> Spread:
    p5, p25, p50, p75, p95 = (float(q) for q in np.percentile(values, [5, 25, 50, 75, 95]))
    return Spread(
        mean=float(values.mean()),
        sd=float(values.std(ddof=1)) if len(values) > 1 else 0.0,
        least=float(values.min()),
        p5=p5,
        p25=p25,
        median=p50,
        p75=p75,
        p95=p95,
        worst=float(values.max()),
        worst_sample=int(values.argmax()),
    )


def _check_formats(program: Program, costs: Costs) -> None:
    if not costs.formats:
        return
    for connection in program.connections:
        if weight_format(connection) not in costs.formats:
            raise InputError(
                f"{weight_format(connection)} weights on a chip without that format",
                where=f"{costs.name}: connection {connection.name}",
                allowed=", ".join(costs.formats),
                fix="store the weights in a format the chip has, or price with another chip's table",
            )


def _uncounted(program: Program, placed: bool) -> tuple[str, ...]:
    if not program.cores:
        return ("messages and hops: the program is not placed on cores",)
    if not placed:
        return ("hops, stored zeros and cores: the run kept totals only, not spikes",)
    return ()


def _assumptions(
    events: Mapping[str, LayerEvents], program: Program, costs: Costs, step_s: float | None, slow: float
) -> tuple[str, ...]:
    out = ["low and high add up as if all constants erred the same way: the interval is a bound, not a standard deviation"]
    chip = costs.name.split("/")[0]
    if program.chip and program.chip != chip:
        out.append(f"placed for {program.chip}, priced with {costs.name}")
    if costs.all_in:
        out.append("all-in price: a whole chip's consumption divided by its events, static power and overheads included")
    elif any(layer.active is None and layer.updates.any() for layer in events.values()):
        out.append("neuron updates: all priced as active in nominal and high, as idle in low")
    if step_s is not None:
        out.append(f"steps paced at {step_s:g} s, as in real-time operation")
        if slow:
            out.append(f"the chip cannot keep that pace: {slow:.1%} of the steps take longer")
    elif not any(layer.cores for layer in events.values()):
        out.append("time: not told per core, so every layer counts as one")
    if step_s is None and costs.time:
        out.append("time: samples stream back to back; a step waits for its slowest core")
    return tuple(out)


def _constants(costs: Costs, timed: bool) -> tuple[Constant, ...]:
    sections: list[tuple[str, Mapping[str, Price]]] = [("energy", costs.energy), ("power", costs.power)]
    if timed:
        fields = Price.__struct_fields__
        barriers = {f"barrier at {b.tiles} tiles": Price(**{f: getattr(b, f) for f in fields}) for b in costs.barrier}
        sections.append(("time", {**costs.time, **barriers}))
    return tuple(Constant(section, term, price) for section, prices in sections for term, price in prices.items())
