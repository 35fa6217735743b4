"""compare.html: several runs on one page, their Pareto picture and a table. A view of Entries and of nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import PurePath
from typing import Any

import msgspec

from filopodia.report import wording
from filopodia.report.axes import Name, answers, panels, write_names
from filopodia.report.costs import Amount, Rival
from filopodia.report.curves import Curve, Trained, accuracy_curves
from filopodia.report.figures import ACCENT, PAPER, SECOND, finished, styled


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


def cells(label: str, point: Sequence[Trained]) -> list[str]:
    """What a method came to on one target: label; right answers, zero weights and zero synapses in per cent; SynOps."""
    right = wording.over([100 * one.accuracy for one in point])
    return [
        f"{label} ×{len(point)}" if len(point) > 1 else label,
        f"{right.mean:.2f}" if right.sd is None else f"{right.mean:.2f} ± {right.sd:.2f}",
        f"{wording.over([100 * one.sparsity for one in point]).mean:.2f}",
        f"{wording.over([100 * one.synapse_sparsity for one in point]).mean:.2f}",
        wording.deviating(wording.over([one.synops for one in point])),
    ]


def render_contrast(entries: Sequence[Entry], warnings: Sequence[str], curves: Sequence[Curve], runs: int) -> str:
    """The page as HTML text: what `runs` runs cost as far as they have an estimate, and what they came to as far as they were
    trained. Same runs, same bytes."""
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
        runs=runs,
        trained=[cells(curve.label, point) for curve in curves for point in curve.points],
        sparsity=(accuracy_curves(curves, wide=True), accuracy_curves(curves, wide=False)) if curves else None,
    )


def pareto(entries: Sequence[Entry], *, wide: bool) -> str:
    """Accuracy over energy, latency and, where they differ, cores: better is up and to the left. SVG text."""
    import matplotlib as mpl
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    shown = [entry for entry in entries if entry.accuracy is not None]
    cores = {e.name: Amount(low=e.cores, nominal=e.cores, high=e.cores) for e in shown if e.cores}
    times = {entry.name: entry.latency for entry in shown if entry.latency}
    titled: list[tuple[str, str, dict[str, Amount]]] = [
        ("Energy per sample", "J", {entry.name: entry.energy for entry in shown})
    ]
    titled += [("Latency per sample", "s", times)] if times else []
    titled += [("Neurocores", "", cores)] if len({amount.nominal for amount in cores.values()}) > 1 else []
    heights = [100 * (entry.accuracy or 0.0) for entry in shown]
    names = names_of(shown)
    with mpl.rc_context(styled(f"pareto {wide}")):
        figure, axes = panels(len(titled), names, wide=wide)
        answers(axes[0], min(heights), max(heights), max(heights))
        for axis, (title, unit, amounts) in zip(axes, titled, strict=True):
            for entry in shown:
                if entry.name in amounts:
                    mark(axis, entry, amounts[entry.name])
            axis.set_title(title)
            axis.margins(x=0.06)
            if unit:
                axis.set_xscale("log")
                axis.xaxis.set_major_locator(LogLocator(subs=ticks(amounts.values())))
                axis.xaxis.set_minor_locator(NullLocator())
                axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _, unit=unit: wording.si(value, unit, 1)))
            else:
                axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        for axis in axes[-1:] if wide else axes:
            write_names(axis, names)
        return finished(figure, f"Accuracy of {len(shown)} runs over their energy, latency and cores")


def names_of(shown: Sequence[Entry]) -> list[Name]:
    """What to write beside the runs: their folders' own names where these tell them apart; runs of one accuracy together."""
    short = [PurePath(entry.name).name for entry in shown]
    if len(set(short)) < len(short):
        short = [entry.name for entry in shown]
    together: dict[tuple[float, bool], list[str]] = {}
    for entry, text in zip(shown, short, strict=True):
        together.setdefault((100 * (entry.accuracy or 0.0), entry.front), []).append(text)
    return [Name(", ".join(texts), height, ACCENT if front else SECOND) for (height, front), texts in together.items()]


def ticks(amounts: Iterable[Amount]) -> tuple[float, ...]:
    """Which multiples of a power of ten get a tick: more of them, the narrower the axis."""
    ends = [end for amount in amounts for end in (amount.low, amount.high) if end > 0]
    decades = math.log10(max(ends) / min(ends)) if ends else 1.0
    return (1.0, 2.0, 5.0) if decades < 1 else (1.0, 3.0) if decades < 2 else (1.0,)


def mark(axis: Any, entry: Entry, amount: Amount) -> None:
    """One run in one panel: its range as a bar, its nominal value as a disc, filled where nothing beats it."""
    height = 100 * (entry.accuracy or 0.0)
    colour = ACCENT if entry.front else SECOND
    axis.plot([amount.low, amount.high], [height, height], color=colour, linewidth=1.4, alpha=0.4, solid_capstyle="butt")
    fill, edge = (colour, PAPER) if entry.front else (PAPER, colour)
    axis.plot(amount.nominal, height, "o", markersize=6, markerfacecolor=fill, markeredgecolor=edge, markeredgewidth=0.9)
