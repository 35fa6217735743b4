"""Prices: what one event, one watt-second or one nanosecond costs on a chip, with how sure that is and who says so.

A cost table is a published or fitted set of numbers that belong together (one chip, one node, one voltage). It prices events
(joules), running (watts) and time (seconds). Numbers stand in the unit of their source; `Price.si` converts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

Format = Literal["dense", "sparse", "conv"]
Scope = Literal["per_op", "all_in"]
Evidence = Literal["measured", "calibrated", "simulated", "projected"]
FORMATS: tuple[Format, ...] = ("dense", "sparse", "conv")

# What can be priced in joules. `synop` may be overridden per weight format: `synop_dense`, `synop_sparse`, `synop_conv`.
ENERGY_TERMS = {
    "synop": "one spike over one synapse",
    "synop_dense": "the same, weights stored as a matrix",
    "synop_sparse": "the same, weights stored as lists of synapses",
    "synop_conv": "the same, weights shared by a convolution",
    "mac": "one multiply-accumulate (a graded message over one synapse, or an ANN's)",
    "update_active": "one neuron update with input",
    "update_idle": "one neuron update without input",
    "spike": "one spike generated",
    "message": "one spike sent to one destination core",
    "hop_x": "one message over one east-west link",
    "hop_y": "one message over one north-south link",
    "chip_crossing": "one message to another chip",
    "input": "one input event injected",
    "output": "one output event sent off the cores",
    "weight_read": "one byte of weights read from memory",
    "state_access": "one byte of neuron state or activations read or written",
}
POWER_TERMS = {
    "static_chip": "one chip, powered and idle",
    "static_core": "one core in use, idle",
    "host": "processors and interfaces that feed the chip",
}
TIME_TERMS = {
    "synop": ENERGY_TERMS["synop"],
    "synop_dense": ENERGY_TERMS["synop_dense"],
    "synop_sparse": ENERGY_TERMS["synop_sparse"],
    "synop_conv": ENERGY_TERMS["synop_conv"],
    "update": "one neuron update",
    "spike": ENERGY_TERMS["spike"],
    "message": ENERGY_TERMS["message"],
    "arrival": "one message received by a core",
    "hop": "one message over one link",
}
UNITS = {
    "energy": {"pJ": 1e-12, "nJ": 1e-9, "uJ": 1e-6, "mJ": 1e-3, "J": 1.0},
    "power": {"uW": 1e-6, "mW": 1e-3, "W": 1.0},
    "time": {"ps": 1e-12, "ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0},
}
TERMS = {"energy": ENERGY_TERMS, "power": POWER_TERMS, "time": TIME_TERMS}
SCALE = {unit: factor for units in UNITS.values() for unit, factor in units.items()}


class Range(msgspec.Struct, frozen=True):
    """A quantity as low, nominal and high, in SI units. Sums add the ends (the constants may all err the same way)."""

    low: float
    nominal: float
    high: float

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.nominal + other.nominal, self.high + other.high)

    def __mul__(self, factor: float) -> Range:
        return Range(self.low * factor, self.nominal * factor, self.high * factor)

    __rmul__ = __mul__

    def times(self, other: Range) -> Range:
        """Product of two non-negative quantities, end by end."""
        return Range(self.low * other.low, self.nominal * other.nominal, self.high * other.high)

    def to_dict(self) -> dict[str, float]:
        """The three numbers by name."""
        return {"low": self.low, "nominal": self.nominal, "high": self.high}


ZERO = Range(0.0, 0.0, 0.0)


def total(ranges: Iterable[Range]) -> Range:
    """Sum of ranges, 0 of none."""
    out = ZERO
    for one in ranges:
        out = out + one
    return out


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One number of a chip file: its range, its unit, what it covers, how it was found, who says so.

    `scope`: "per_op" is the cost of the event alone, "all_in" a whole chip's consumption divided by its events.
    `evidence`: "measured" on silicon, "calibrated" to silicon by a model, "simulated" before silicon, "projected" from other
    numbers. `note` says where low and high come from.
    """

    low: float
    nominal: float
    high: float
    unit: str
    scope: Scope
    evidence: Evidence
    source: str
    note: str = ""

    @property
    def si(self) -> Range:
        """In joules, watts or seconds."""
        return Range(self.low, self.nominal, self.high) * SCALE[self.unit]

    def problem(self, section: str) -> tuple[str, str, str] | None:
        """What is wrong with this price in a section ("energy", "power", "time"): (key, what was found, what is allowed)."""
        numbers = {"low": self.low, "nominal": self.nominal, "high": self.high}
        for key, value in numbers.items():
            if not math.isfinite(value) or value < 0:
                return key, f"{value:g}", "a number >= 0"
        if not self.low <= self.nominal <= self.high:
            return "low", f"low {self.low:g}, nominal {self.nominal:g}, high {self.high:g}", "low <= nominal <= high"
        if self.unit not in UNITS[section]:
            return "unit", repr(self.unit), ", ".join(UNITS[section])
        if not self.source.strip():
            return "source", repr(self.source), "where the number was published or how it was found"
        return None


class Barrier(Price, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Time to synchronise the mapped tiles at the end of a step."""

    tiles: int


class WeightFormat(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a chip does with weights stored in one format: whether stored zeros take a synop, and whether a core that is partly
    filled with columns of a convolution also works on the columns that do not exist."""

    zeros: Literal["skipped", "executed"]
    missing_columns: Literal["skipped", "executed"] = "skipped"
    evidence: Evidence
    source: str
    note: str = ""


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """A cost table: prices by term (the terms of ENERGY_TERMS, POWER_TERMS, TIME_TERMS), and its chip's weight formats.

    `name` is "chip/table". `barrier` is ordered by tiles. A table with an all-in price has no other price but `host`.
    `weight_bytes`, `state_bytes`: size of a weight and of a neuron's state (or an activation) where memory is priced by the
    byte (`weight_read`, `state_access`); 0 where the price of a synop or an update holds its memory.
    """

    name: str
    title: str
    conditions: str = ""
    energy: Mapping[str, Price] = msgspec.field(default_factory=dict)
    power: Mapping[str, Price] = msgspec.field(default_factory=dict)
    time: Mapping[str, Price] = msgspec.field(default_factory=dict)
    barrier: tuple[Barrier, ...] = ()
    formats: Mapping[Format, WeightFormat] = msgspec.field(default_factory=dict)
    cores_per_tile: int = 4
    weight_bytes: int = 0
    state_bytes: int = 0

    @property
    def all_in(self) -> str | None:
        """The energy term whose price covers everything the chip consumes, if there is one."""
        return next((term for term, price in self.energy.items() if price.scope == "all_in"), None)

    def synop(self, section: Literal["energy", "time"], weights: Format) -> Price | None:
        """Price of a synop over weights of a format: the format's own, else the general one."""
        prices = self.energy if section == "energy" else self.time
        return prices.get(f"synop_{weights}") or prices.get("synop")

    def synchronisation(self, tiles: int) -> Range:
        """Barrier time in seconds, linear between the tabled numbers of tiles and constant beyond them; 0 without a table."""
        if not self.barrier:
            return ZERO
        below = max((b for b in self.barrier if b.tiles <= tiles), key=lambda b: b.tiles, default=self.barrier[0])
        above = min((b for b in self.barrier if b.tiles >= tiles), key=lambda b: b.tiles, default=self.barrier[-1])
        if above.tiles <= below.tiles:
            return below.si
        share = (tiles - below.tiles) / (above.tiles - below.tiles)
        return below.si * (1 - share) + above.si * share
