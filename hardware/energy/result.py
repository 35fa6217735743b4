"""Result: what an estimate says, as frozen values that go to JSON and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from filopodia.errors import InputError
from filopodia.hardware.energy.prices import Evidence, Price, Range
from filopodia.hardware.show import show_estimate


@dataclass(frozen=True)
class Cause:
    """Energy of one kind of event: `count` per sample (mean), joules per sample, None where the table has no price for it."""

    name: str
    count: float
    energy: Range | None


@dataclass(frozen=True)
class LayerEstimate:
    """A layer's events per sample (mean over samples, summed over steps) and its dynamic energy, joules per sample.

    `rate` is spikes per neuron and step. An input has neurons 0.
    """

    name: str
    neurons: int
    cores: int
    spikes: float
    rate: float
    synops: float
    updates: float
    messages: float
    energy: Range
    causes: tuple[Cause, ...]


@dataclass(frozen=True)
class CoreEstimate:
    """A core's share: synops and dynamic joules per sample, mean seconds per step it works (None: no time prices)."""

    index: int
    layers: tuple[str, ...]
    neurons: int
    synops: float
    energy: Range
    busy_s: float | None


@dataclass(frozen=True)
class Spread:
    """A quantity over the samples of the run (nominal prices): `sd` is the sample standard deviation, 0 for one sample."""

    mean: float
    sd: float
    least: float
    p5: float
    p25: float
    median: float
    p75: float
    p95: float
    worst: float
    worst_sample: int


@dataclass(frozen=True)
class Timing:
    """Time and where it goes, in seconds. `period` is the time between samples of a stream, `latency` from a sample's first
    input step to its last output step, `step` a mean step. `throughput` is samples per second (nominal).

    `bottleneck`: the core (or layer, where not placed) that is slowest in most steps, and the share of steps in which it is.
    `imbalance`: busy time of the busiest core over the mean core, 1 is balanced; both nominal, means over steps.
    `paced`: steps are held to a fixed length, so time follows the pace and not the load.
    """

    period: Range
    latency: Range
    step: Range
    throughput: float
    bottleneck: str
    bottleneck_share: float
    imbalance: float
    paced: bool


@dataclass(frozen=True)
class Constant:
    """A price that entered the estimate, as it stands in the chip file."""

    section: str
    term: str
    price: Price


@dataclass(frozen=True)
class Estimate:
    """What one inference costs: joules and seconds per sample, means over the run, each low, nominal and high.

    `dynamic` is the sum over priced events, `static` what the powered chips take meanwhile, `host` what feeds them (None: the
    table has no price). `total` is dynamic + static, the chip without its host. What the totals leave out stands in
    `unpriced` (events that happened, or power that has no price) and `uncounted` (things no placement or count told);
    `complete` is False then. `all_in`: the price is a whole chip's consumption per event, so `dynamic` holds static power too.
    `edp` is total energy x period, joule-seconds. `evidence`: share of the nominal dynamic energy by how its prices were found.
    """

    costs: str
    title: str
    conditions: str
    chip: str
    backend: str
    steps: int
    samples: int
    placed: bool
    all_in: bool
    dynamic: Range
    static: Range | None
    host: Range | None
    total: Range
    edp: Range | None
    timing: Timing | None
    by_cause: tuple[Cause, ...]
    by_layer: tuple[LayerEstimate, ...]
    by_core: tuple[CoreEstimate, ...]
    dynamic_spread: Spread
    synop_spread: Spread
    latency_spread: Spread | None
    unpriced: tuple[str, ...]
    uncounted: tuple[str, ...]
    assumptions: tuple[str, ...]
    constants: tuple[Constant, ...]
    evidence: Mapping[Evidence, float]

    def __repr__(self) -> str:
        return show_estimate(self)

    @property
    def complete(self) -> bool:
        """Whether the totals hold every term."""
        return not self.unpriced and not self.uncounted

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: numbers, strings, lists and dicts (ranges as {"low", "nominal", "high"}), with `complete`."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return {**plain, "complete": self.complete}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Estimate:
        """The estimate that `to_dict` made plain. Raises InputError naming the key that does not fit."""
        try:
            return msgspec.convert(dict(plain), cls)
        except msgspec.ValidationError as error:
            raise InputError(str(error), where="estimate", allowed="what Estimate.to_dict writes") from None
