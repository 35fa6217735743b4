"""Baselines: the networks an SNN must be compared with, each with what it assumes.

The unpruned SNN (the same spikes over every synapse the shapes allow), and the ANN of the same topology: one
multiply-accumulate per synapse and inference, its weights and activations moved through memory, in a number format at 45 nm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from filopodia.errors import InputError
from filopodia.hardware.activity import Activity
from filopodia.hardware.chip import load_costs
from filopodia.hardware.energy.estimate import Cause, Constant, Estimate, estimate_events
from filopodia.hardware.energy.events import LayerEvents, count_events, weight_format
from filopodia.hardware.energy.fanout import synapses_of
from filopodia.hardware.energy.prices import FORMATS, Costs, Format, Range, total
from filopodia.hardware.program import Conv, Dense, Program


@dataclass(frozen=True)
class Work:
    """What an ANN of the program's topology does per inference: by connection and in total.

    `dense_macs`: multiply-accumulates of the unpruned layers (padding not counted); `macs`: those with a non-zero weight.
    `weights`, `nonzero_weights`: parameters, shared ones once. `activations`: values the layers put out; `inputs`: values read.
    """

    connections: Mapping[str, tuple[int, int]]
    dense_macs: int
    macs: int
    weights: int
    nonzero_weights: int
    activations: int
    inputs: int


@dataclass(frozen=True)
class Baseline:
    """A network that is no spiking one, priced: joules per inference by cause, without static energy, and what was assumed."""

    name: str
    costs: str
    macs: int
    weights: int
    energy: Range
    causes: tuple[Cause, ...]
    assumptions: tuple[str, ...]
    constants: tuple[Constant, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


def work(program: Program) -> Work:
    """Multiply-accumulates, weights and activations of the ANN with this program's topology.

    A connection stored as lists of synapses stands for a full matrix, unless `program.metadata["dense_synapses"]` names how
    many synapses it had before pruning (a convolution unrolled by the compiler).
    """
    known: Mapping[str, int] = program.metadata.get("dense_synapses", {})
    per: dict[str, tuple[int, int]] = {}
    weights = nonzero = 0
    for connection in program.connections:
        source = program.nodes[connection.source].shape
        dense = known.get(connection.name) or synapses_of(connection.synapses, source, "dense")
        per[connection.name] = (dense, synapses_of(connection.synapses, source, "nonzero"))
        stored = connection.synapses.data if not isinstance(connection.synapses, Dense | Conv) else connection.synapses.weight
        weights += stored.size if isinstance(connection.synapses, Dense | Conv) else dense
        nonzero += int(np.count_nonzero(stored))
    return Work(
        connections=per,
        dense_macs=sum(dense for dense, _ in per.values()),
        macs=sum(some for _, some in per.values()),
        weights=weights,
        nonzero_weights=nonzero,
        activations=sum(layer.size for layer in program.layers),
        inputs=sum(node.size for node in program.inputs),
    )


def ann(
    program: Program, costs: str | Path | Costs = "cmos45/int8", *, pruned: bool = False, bits: int | None = None
) -> Baseline:
    """The ANN of the same topology. `pruned`: zero weights are skipped for free; `bits`: a QNN of that many bits.

    A QNN's energy is the table's, its multiplications scaled by (bits / width)^2 and additions and bytes by bits / width, where
    width is that of the table's numbers. A table without memory prices (an all-in one) covers memory by its MAC.
    """
    table = load_costs(costs)
    mac = table.energy.get("mac")
    if mac is None:
        raise InputError(
            "no price for a multiply-accumulate", where=table.name, allowed="tables with energy.mac, such as cmos45/int8"
        )
    done = work(program)
    macs, weights = (done.macs, done.nonzero_weights) if pruned else (done.dense_macs, done.weights)
    narrow = 1.0 if bits is None else bits / (8 * max(table.weight_bytes, 1))
    causes = [Cause("multiply-accumulates", float(macs), mac.si * (macs * narrow**2))]
    assumptions = ["every layer of the same shape, one value per neuron instead of T steps of spikes; activations of any value"]
    if pruned:
        assumptions.append("zero weights take no operation, no memory and no index: the best a pruned ANN can do")
    if bits is not None:
        assumptions.append(
            f"{bits}-bit weights and activations; multiplications scale with the square of the bits, bytes with the bits"
        )
    values = done.inputs + 2 * done.activations
    if "weight_read" in table.energy:
        amount = weights * table.weight_bytes * narrow
        once = table.energy["weight_read"].si * amount
        # No reuse at all would fetch a weight per MAC; on-chip buffers make it nearly once per inference.
        every = table.energy["weight_read"].si.nominal * macs * table.weight_bytes * narrow
        causes.append(Cause("weight reads (bytes)", amount, Range(once.low, once.nominal, max(once.high, every))))
        assumptions.append("weights read once per inference (high: once per multiply-accumulate, no reuse)")
    if "state_access" in table.energy:
        amount = values * table.state_bytes * narrow
        causes.append(Cause("activations (bytes)", amount, table.energy["state_access"].si * amount))
        assumptions.append("inputs read once, activations written and read once")
    if mac.scope == "all_in":
        assumptions.append("all-in price: memory, static power and overheads are in the multiply-accumulate")
    else:
        assumptions.append("arithmetic and memory alone: no control, clock, leakage or input and output")
    name = "QNN" if bits is not None else "ANN"
    return Baseline(
        name=f"{'pruned ' if pruned else ''}{name}{f' {bits}-bit' if bits is not None else ''}",
        costs=table.name,
        macs=macs,
        weights=weights,
        energy=total(cause.energy for cause in causes if cause.energy is not None),
        causes=tuple(causes),
        assumptions=tuple(assumptions),
        constants=tuple(Constant("energy", term, table.energy[term]) for term in table.energy),
    )


def fair_bits(steps: int) -> int:
    """Bits of the QNN that says as much per neuron as T steps of spikes: ceil(log2(T + 1)) (Yan et al., arXiv:2409.08290)."""
    return math.ceil(math.log2(steps + 1))


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
    logic of the ANNs (45 nm, int8), `anns` the ANNs."""

    pruned: Estimate
    unpruned: Estimate
    like_for_like: Estimate
    anns: tuple[Baseline, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "pruned": self.pruned.to_dict(),
            "unpruned": self.unpruned.to_dict(),
            "like_for_like": self.like_for_like.to_dict(),
            "anns": [one.to_dict() for one in self.anns],
        }


def against_baselines(
    activity: Activity,
    program: Program,
    costs: str | Path | Costs | None = None,
    *,
    step_s: float | None = None,
    anns: Sequence[str] = ("cmos45/fp32", "cmos45/int8"),
) -> Comparison:
    """Price a run, its unpruned twin and the ANNs of its topology: fp32, int8, the pruned int8 one and the QNN of
    ceil(log2(T + 1)) bits. Arguments as for `estimate`."""
    events = count_events(activity, program)
    table = load_costs(costs if costs is not None else program.chip or "loihi2")
    whole = unpruned_events(events, program)
    return Comparison(
        pruned=estimate_events(events, program, table, backend=activity.backend, step_s=step_s),
        unpruned=estimate_events(whole, program, table, backend=activity.backend, step_s=step_s),
        like_for_like=estimate_events(events, program, load_costs("cmos45/int8"), backend=activity.backend, step_s=step_s),
        anns=(
            *(ann(program, one) for one in anns),
            ann(program, "cmos45/int8", pruned=True),
            ann(program, "cmos45/int8", bits=fair_bits(activity.steps)),
        ),
    )
