"""compare.html: several runs on one page, their Pareto picture and a table. A view of Entries and of nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any

import msgspec

from filopodia.report import wording
from filopodia.report.costs import Amount, Rival
from filopodia.report.figures import ACCENT, MUTED, SECOND, finished, styled


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run: `accuracy` 0..1, `energy` joules and `latency` seconds per sample, None where not known; `cores` 0 when not
    placed; `sparsity` of the weights. `beaten_by`: runs at least as good in all that is known and better in something;
    `surely`: those of them whose energies are lower with the ranges apart; `rivals`: networks of its shape without spikes."""

    name: str
    costs: str
    accuracy: float | None
    energy: Amount
    latency: Amount | None
    cores: int
    synops: float
    sparsity: float
    beaten_by: tuple[str, ...]
    surely: tuple[str, ...]
    rivals: tuple[Rival, ...] = ()

    @property
    def front(self) -> bool:
        return not self.beaten_by


def render_contrast(entries: Sequence[Entry], warnings: Sequence[str]) -> str:
    """The page as HTML text. Same entries, same bytes."""
    import jinja2

    here = resources.files("filopodia.report")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.globals.update(
        si=wording.si, si_range=wording.si_range, percent=wording.percent, count=wording.count, ratio=wording.ratio
    )
    template = environment.from_string((here / "contrast.html.j2").read_text(encoding="utf-8"))
    drawn = any(entry.accuracy is not None for entry in entries)
    return template.render(
        entries=entries,
        warnings=warnings,
        number={entry.name: index for index, entry in enumerate(entries, 1)},
        style=(here / "page.css").read_text(encoding="utf-8"),
        figures=(pareto(entries, wide=True), pareto(entries, wide=False)) if drawn else None,
    )


def pareto(entries: Sequence[Entry], *, wide: bool) -> str:
    """Accuracy over energy, latency and cores: better is up and to the left; runs carry their numbers. SVG text."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    shown = [(index, entry) for index, entry in enumerate(entries, 1) if entry.accuracy is not None]
    cores = {index: Amount(low=entry.cores, nominal=entry.cores, high=entry.cores) for index, entry in shown if entry.cores}
    times = {index: entry.latency for index, entry in shown if entry.latency}
    panels: list[tuple[str, str, dict[int, Amount]]] = [("Energy per sample", "J", {i: entry.energy for i, entry in shown})]
    panels += [("Latency per sample", "s", times)] if times else []
    panels += [("Neurocores", "", cores)] if cores else []
    with mpl.rc_context(styled(f"pareto {wide}")):
        figure = Figure(figsize=(9.6, 3.4) if wide else (3.6, 2.7 * len(panels)), layout="constrained")
        grid = figure.subplots(1, len(panels), sharey=True) if wide else figure.subplots(len(panels), 1)
        axes = grid.ravel() if len(panels) > 1 else [grid]
        for axis, (title, unit, amounts) in zip(axes, panels, strict=True):
            marked = [(index, entry, amounts[index]) for index, entry in shown if index in amounts]
            for _, entry, amount in marked:
                mark(axis, entry, amount)
            number(axis, marked)
            axis.set_title(title)
            axis.margins(x=0.12)
            if unit:
                axis.set_xscale("log")
                axis.xaxis.set_major_locator(LogLocator(subs=ticks(amounts.values())))
                axis.xaxis.set_minor_locator(NullLocator())
                axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _, unit=unit: wording.si(value, unit, 1)))
            else:
                axis.set_xlim(*wider(axis.get_xlim(), 2.0))
                axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            axis.yaxis.set_major_locator(MaxNLocator(5))
        heights = [100 * (entry.accuracy or 0.0) for _, entry in shown]
        low, high = wider((min(heights), max(heights)), 1.0)
        room = 0.18 * (high - low)
        for axis in axes:
            axis.set_ylim(low - room, min(high, 100.0) + room)
        axes[0].set_ylabel("right answers, %")
        return finished(figure, f"Accuracy of {len(shown)} runs over their energy, latency and cores")


def ticks(amounts: Iterable[Amount]) -> tuple[float, ...]:
    """Which multiples of a power of ten get a tick: more of them, the narrower the axis."""
    ends = [end for amount in amounts for end in (amount.low, amount.high) if end > 0]
    decades = math.log10(max(ends) / min(ends)) if ends else 1.0
    return (1.0, 2.0, 5.0) if decades < 1 else (1.0, 3.0) if decades < 2 else (1.0,)


def wider(ends: tuple[float, float], least: float) -> tuple[float, float]:
    """The same middle, at least `least` from end to end."""
    missing = max(0.0, least - (ends[1] - ends[0])) / 2
    return ends[0] - missing, ends[1] + missing


def mark(axis: Any, entry: Entry, amount: Amount) -> None:
    """One run in one panel: its range as a bar, its nominal value as a disc, filled where nothing beats it."""
    height = 100 * (entry.accuracy or 0.0)
    colour = ACCENT if entry.front else SECOND
    axis.plot([amount.low, amount.high], [height, height], color=colour, linewidth=1.4, alpha=0.55, solid_capstyle="butt")
    axis.plot(amount.nominal, height, "o", markersize=6, color=colour, markerfacecolor=colour if entry.front else "none")


def number(axis: Any, marked: Iterable[tuple[int, Entry, Amount]]) -> None:
    """The runs' numbers over their discs; those of one place side by side."""
    places: dict[tuple[float, float], list[str]] = {}
    for index, entry, amount in marked:
        places.setdefault((amount.nominal, 100 * (entry.accuracy or 0.0)), []).append(str(index))
    for at, numbers in places.items():
        axis.annotate(", ".join(numbers), at, xytext=(0, 6), textcoords="offset points", ha="center", fontsize=9, color=MUTED)
