"""report.html: one self-contained page, a view of a Report. No script, no network, no state; same report, same bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib import resources
from typing import Any

from filopodia.report import wording
from filopodia.report.costs import Amount
from filopodia.report.data import Report
from filopodia.report.figures import spike_raster, training_curves

LAYER_COLOURS = 8  # how many the style sheet names; more layers share them in turn


@dataclass(frozen=True)
class Scale:
    """A logarithmic axis in whole decades, for amounts that differ by orders of magnitude. Positions are in per cent."""

    first: int
    last: int

    @staticmethod
    def over(amounts: list[Amount]) -> Scale:
        ends = [value for amount in amounts for value in (amount.low, amount.nominal, amount.high) if value > 0]
        if not ends:
            return Scale(0, 1)
        first = math.floor(math.log10(min(ends)) + 1e-9)
        return Scale(first, max(first + 1, math.ceil(math.log10(max(ends)) - 1e-9)))

    def at(self, value: float) -> float:
        if value <= 0:
            return 0.0
        position = (math.log10(value) - self.first) / (self.last - self.first)
        return round(100 * min(1.0, max(0.0, position)), 2)

    @property
    def ticks(self) -> tuple[int, ...]:
        step = max(1, -(-(self.last - self.first) // 8))
        return tuple(range(self.first, self.last + 1, step))


def render(report: Report) -> str:
    """The whole page as HTML text."""
    import jinja2

    here = resources.files("filopodia.report")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.globals.update(
        si=wording.si, si_range=wording.si_range, percent=wording.percent, count=wording.count, ratio=wording.ratio,
        duration=wording.duration, number=wording.figures, scientific=wording.scientific,
        colour=lambda index: index % LAYER_COLOURS, max=max,
    )  # fmt: skip
    template = environment.from_string((here / "page.html.j2").read_text(encoding="utf-8"))
    return template.render(
        report=report,
        style=(here / "page.css").read_text(encoding="utf-8"),
        energy_scale=Scale.over([contestant.energy for contestant in report.contestants]),
        swing_scale=Scale.over([Amount(low=one.low, nominal=1.0, high=one.high) for one in report.swings]),
        drawings=drawings(report),
        layer_index={layer.name: index for index, layer in enumerate(report.layers)},
        settings=flattened(report.settings),
        neurobench=[(key, measure(value)) for key, value in numbers(report.neurobench)],
    )


def drawings(report: Report) -> dict[str, tuple[str, str]]:
    """The figures by name, each as (wide, narrow) SVG; one that has nothing to show is absent."""
    drawn: dict[str, tuple[str, str]] = {}
    if len(report.epochs) > 1:
        drawn["training"] = (training_curves(report.epochs, wide=True), training_curves(report.epochs, wide=False))
    if report.rasters:
        drawn["raster"] = (
            spike_raster(report.rasters, report.steps, wide=True),
            spike_raster(report.rasters, report.steps, wide=False),
        )
    return drawn


def numbers(metrics: dict[str, Any]) -> list[tuple[str, float]]:
    """NeuroBench's metrics as rows; those of a group behind its name."""
    rows: list[tuple[str, float]] = []
    for key, value in metrics.items():
        rows += [(f"{key} {name}", one) for name, one in value.items()] if isinstance(value, dict) else [(key, value)]
    return rows


def measure(value: float) -> str:
    """A metric: counts whole, shares with four places."""
    return f"{value:.4f}" if 0 < abs(value) < 1 else wording.count(value)


def flattened(settings: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Settings as (dotted key, value) rows, in the order of the configuration."""
    rows: list[tuple[str, str]] = []
    for key, value in settings.items():
        if isinstance(value, dict):
            rows += flattened(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", ", ".join(map(str, value)) if isinstance(value, list) else str(value)))
    return rows
