"""What a report says of energy and time, as data: costs with their ranges, where they go, and what they are compared with."""

from __future__ import annotations

from typing import Literal

import msgspec


class Amount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An estimate with its range. `low` and `high` come from the constants' ranges."""

    low: float
    nominal: float
    high: float


class Contestant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way to answer the same question: its energy per sample in joules, its accuracy where measured, its assumptions."""

    name: str
    platform: str
    energy: Amount
    dynamic: Amount | None
    static: Amount | None
    latency: Amount | None
    accuracy: float | None
    scope: str
    group: Literal["chip", "prices", "artificial"] = "chip"
    assumptions: tuple[str, ...] = ()
    unpriced: tuple[str, ...] = ()
    own: bool = False


class Cause(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the energy goes: `events` says how many per sample, `energy` in joules; None where the prices do not cover them."""

    name: str
    events: str
    energy: Amount | None


class Constant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A number the estimate rests on."""

    chip: str
    name: str
    low: float
    nominal: float
    high: float
    unit: str
    evidence: str
    scope: str
    source: str


class Lever(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that would move the verdict: what it is, what it is now, and what it would have to be, if anything would do."""

    name: str
    now: str
    needed: str
    reachable: bool = True


class Pace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Seconds per step and per sample of a stream; the core that is slowest in a `share` of the steps; `imbalance`: the
    busiest core's time over the mean core's; `paced`: the step's length is fixed."""

    step: Amount
    period: Amount
    throughput: float
    bottleneck: str
    share: float
    imbalance: float
    paced: bool


class Judgement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The network's dynamic energy, priced with `costs`, over a baseline's, priced with `table`; and that in words."""

    baseline: str
    table: str
    costs: str
    answer: Literal["wins", "loses", "open"]
    ratio: Amount
    sentences: tuple[str, ...]


class Swing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The network's dynamic energy over the int8 ANN's with one price at its low and high; `turns`: the answer differs."""

    name: str
    table: str
    low: float
    high: float
    turns: bool


class Spread(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A quantity over the samples, in `unit` ("" is a count): mean, standard deviation, percentiles, the worst and which."""

    name: str
    unit: str
    mean: float
    sd: float
    p5: float
    median: float
    p95: float
    worst: float
    worst_sample: int


class Rival(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A network of the same shape without spikes: joules per sample, accuracy where measured, `ratio` of this network's
    dynamic energy over it, and whether this network then wins."""

    name: str
    accuracy: float | None
    energy: Amount
    ratio: Amount
    answer: Literal["wins", "loses", "open"]
