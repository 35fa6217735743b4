"""How a network, a program, an activity and an estimate look when printed: what a person asks of each, and no arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from filopodia.hardware.activity import Activity
    from filopodia.hardware.energy.prices import Range
    from filopodia.hardware.energy.result import Estimate
    from filopodia.hardware.network.network import Network
    from filopodia.hardware.program import Connection, Program


class Brief:
    """A dataclass part whose arrays are printed as type and shape, `int16[8, 2, 3, 3]`, so that it stays on one line."""

    def __repr__(self) -> str:
        shown = (f"{field.name}={brief(getattr(self, field.name))}" for field in fields(self))  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(shown)})"


def brief(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, np.ndarray):
        return repr(value.item()) if value.ndim == 0 else f"{value.dtype}{list(value.shape)}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {brief(entry)}" for key, entry in value.items()) + "}"
    return repr(value)


def show_network(network: Network) -> str:
    """Nodes in order with their kind, output shape, weights and sources; the semantics in the last line."""
    rows = []
    for name, node in network.nodes.items():
        weight = getattr(node, "weight", None)
        weights = "" if weight is None else f"{np.count_nonzero(weight):,} of {weight.size:,}"
        rows.append((name, type(node).__name__, by(network.shapes[name]), weights, ", ".join(network.sources(name))))
    how = network.semantics
    return "\n".join(
        [
            f"Network of {len(rows)} nodes",
            *table(("node", "kind", "output", "weights", "from"), rows),
            f"dt {how.dt:g} s, {how.discretization}, reset {how.reset}, fires at v {how.comparison} threshold",
        ]
    )


def show_program(program: Program) -> str:
    """Inputs and layers, the cores they sit on, the synapses that lead into them."""
    rows = [(port.name, by(port.shape), "", "", "") for port in program.inputs]
    for layer in program.layers:
        cores = sum(layer.name in core.neurons for core in program.cores)
        into = program.into(layer.name)
        sources = ", ".join(connection.source for connection in into)
        rows.append((layer.name, by(layer.shape), str(cores or ""), ", ".join(map(stored, into)), sources))
    neurons = sum(layer.size for layer in program.layers)
    where = f"on {len(program.cores):,} cores of {program.chip}" if program.cores else "not placed"
    title = f"Program of {neurons:,} neurons in {len(program.layers)} layers, {where}"
    return "\n".join([title, *table(("layer", "shape", "cores", "weights", "from"), rows)])


def stored(connection: Connection) -> str:
    """How a connection's weights are stored, how many are not zero, and how late they act: "conv 216, delay 2"."""
    synapses: Any = connection.synapses
    weights = synapses.data if hasattr(synapses, "data") else synapses.weight
    delay = f", delay {connection.delay}" if connection.delay else ""
    return f"{type(synapses).__name__.lower()} {np.count_nonzero(weights):,}{delay}"


def show_activity(activity: Activity) -> str:
    """Per layer, as far as recorded or counted: shape, spikes and synops per sample, spikes per neuron and step."""
    rows = []
    for name in dict.fromkeys([*activity.spikes, *activity.rates, *activity.counts]):
        shape = activity.spikes[name].shape[2:] if name in activity.spikes else ()
        shape = activity.rates[name].shape[1:] if name in activity.rates else shape
        spikes = synops = rate = ""
        if name in activity.counts:
            events = activity.counts[name]
            spikes, synops = (f"{total.sum() / activity.samples:,.1f}" for total in (events.spikes, events.synops))
        elif name in activity.spikes:
            spikes = f"{np.count_nonzero(activity.spikes[name]) / activity.samples:,.1f}"
        if name in activity.spikes:
            rate = f"{np.count_nonzero(activity.spikes[name]) / activity.spikes[name].size:.4f}"
        rows.append((name, by(shape), spikes, rate, synops))
    title = f"Activity of {activity.samples:,} samples of {activity.steps:,} steps, by {activity.backend}"
    return "\n".join([title, *table(("layer", "shape", "spikes", "rate", "synops"), rows)])


def show_estimate(estimate: Estimate) -> str:
    """Energy and time per sample with their ranges, the layers' shares, and what the totals leave out."""
    energies = {"dynamic": estimate.dynamic, "static": estimate.static, "total": estimate.total, "host": estimate.host}
    rows = [(name, span(energy, "J")) for name, energy in energies.items() if energy]
    if estimate.timing:
        rows += [("latency", span(estimate.timing.latency, "s")), ("period", span(estimate.timing.period, "s"))]
    layers = [(each.name, f"{each.spikes:,.1f}", f"{each.synops:,.1f}", span(each.energy, "J")) for each in estimate.by_layer]
    missing = ", ".join((*estimate.unpriced, *estimate.uncounted))
    return "\n".join(
        [
            f"Estimate per sample, {estimate.title}",
            *table(("", "nominal (low to high)"), rows),
            *table(("layer", "spikes", "synops", "dynamic"), layers),
            *([f"not in the total: {missing}"] if missing else []),
        ]
    )


def span(value: Range, unit: str) -> str:
    """ "1.8e-05 J (8.9e-06 to 2.5e-05)"."""
    return f"{value.nominal:.3g} {unit} ({value.low:.2g} to {value.high:.2g})"


def by(shape: Sequence[int]) -> str:
    """ "16×8×8"."""
    return "×".join(map(str, shape))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of left-aligned columns, two spaces in."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return [
        ("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip() for row in (head, *rows)
    ]
