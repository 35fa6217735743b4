"""Baselines: the networks an SNN must be compared with, each with what it assumes.

The ANN of the same topology: one multiply-accumulate per synapse and inference, its weights and activations moved through
memory, in a number format at 45 nm (or at an all-in price of a processor); pruned; or of a few bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from filopodia.errors import InputError
from filopodia.hardware.chip import load_costs
from filopodia.hardware.energy.prices import Costs, Range, total
from filopodia.hardware.energy.result import Cause, Constant
from filopodia.hardware.energy.work import work
from filopodia.hardware.network.network import Network
from filopodia.hardware.program import Program


@dataclass(frozen=True)
class Baseline:
    """A network that is no spiking one, priced: joules per inference by cause, without static energy, and what was assumed.

    `accuracy` in 0..1, None where nobody measured it.
    """

    name: str
    costs: str
    macs: int
    weights: int
    energy: Range
    causes: tuple[Cause, ...]
    assumptions: tuple[str, ...]
    constants: tuple[Constant, ...]
    accuracy: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


USED = ("mac", "weight_read", "state_access")


def ann(
    source: Program | Network, costs: str | Path | Costs = "cmos45/int8", *, pruned: bool = False, bits: int | None = None
) -> Baseline:
    """The ANN of the same topology; a network tells its layers better than a program, which may have composed them (a pooling
    with the layer behind it). `pruned`: zero weights are skipped for free; `bits`: a QNN of that many bits.

    A QNN's energy is the table's, its multiplications scaled by (bits / width)^2 and additions and bytes by bits / width, where
    width is that of the table's numbers. A table without memory prices (an all-in one) covers memory by its MAC.
    """
    table = load_costs(costs)
    mac = table.energy.get("mac")
    if mac is None:
        raise InputError(
            "no price for a multiply-accumulate", where=table.name, allowed="tables with energy.mac, such as cmos45/int8"
        )
    done = work(source)
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
        constants=tuple(Constant("energy", term, table.energy[term]) for term in USED if term in table.energy),
    )


def fair_bits(steps: int) -> int:
    """Bits of the QNN that says as much per neuron as T steps of spikes: ceil(log2(T + 1)) (Yan et al., arXiv:2409.08290)."""
    return math.ceil(math.log2(steps + 1))
