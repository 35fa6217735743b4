"""Accuracy against weight sparsity, synapse sparsity and SynOps: a line per method, mean and deviation over seeds. SVG text.

Every panel runs from dense on the left to sparse on the right, so the lines end together and one column of names, at the
heights where they end, serves all panels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from filopodia.report.axes import Name, answers, panels, percents, write_names
from filopodia.report.figures import MUTED, PAPER, SERIES, finished, styled
from filopodia.report.wording import over

MARKERS = "osD^vPX<"


class Trained(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A trained network on the test samples: right answers 0..1, the shares of its weights and of its spatially expanded
    synapses that are zero, SynOps per sample."""

    accuracy: float
    sparsity: float
    synapse_sparsity: float
    synops: float


class Curve(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One method. Each of its `points` is what it came to on one target, a network per seed, from dense to sparse. `level`:
    what the others are measured against (the dense network), drawn as a line across."""

    label: str
    points: tuple[tuple[Trained, ...], ...]
    level: bool = False


class Look(msgspec.Struct, frozen=True):
    """How a curve is drawn."""

    colour: str
    marker: str = "none"
    again: bool = False  # the colour stands for another curve already: a broken line and hollow marks


def accuracy_curves(curves: Sequence[Curve], *, wide: bool) -> str:
    """The three panels, side by side or below each other."""
    import matplotlib as mpl

    looks = looks_of(curves)
    ends = [over([100 * one.accuracy for one in curve.points[-1]]).mean for curve in curves]
    names = [Name(c.label, end, look.colour) for c, end, look in zip(curves, ends, looks, strict=True)]
    points = [point for curve in curves if not curve.level for point in curve.points] or [p for c in curves for p in c.points]
    with mpl.rc_context(styled(f"curves {wide}")):
        figure, axes = panels(3, names, wide=wide)
        drawn = [over([100 * one.accuracy for one in point]) for curve in curves for point in curve.points]
        low, high = min(one.mean - (one.sd or 0.0) for one in drawn), max(one.mean + (one.sd or 0.0) for one in drawn)
        answers(axes[0], low, max(one.mean for one in drawn), high)
        for axis, (title, amount, scale) in zip(axes, PANELS, strict=True):
            scale(axis, [over([amount(one) for one in point]).mean for point in points])
            for curve, look in zip(curves, looks, strict=True):
                draw(axis, curve, look, amount)
            axis.set_title(title)
        for axis in axes[-1:] if wide else axes:
            write_names(axis, names)
        return finished(figure, "Right answers, %, over the share of zero weights, of zero synapses, and SynOps per sample")


def looks_of(curves: Sequence[Curve]) -> list[Look]:
    """A colour and a marker each; once the colours are used up they come again."""
    drawn = [curve for curve in curves if not curve.level]
    looks = {curve.label: Look(SERIES[i % 8], MARKERS[i % 8], i // 8 % 2 == 1) for i, curve in enumerate(drawn)}
    return [looks.get(curve.label, Look(MUTED)) for curve in curves]


def draw(axis: Any, curve: Curve, look: Look, amount: Callable[[Trained], float]) -> None:
    """One method in one panel."""
    heights = [over([100 * one.accuracy for one in point]) for point in curve.points]
    if curve.level:
        axis.axhline(heights[0].mean, color=look.colour, linewidth=1.0, linestyle=(0, (1, 2)), zorder=1)
        return
    axis.errorbar(
        [over([amount(one) for one in point]).mean for point in curve.points],
        [height.mean for height in heights],
        yerr=[height.sd or 0.0 for height in heights],
        color=look.colour,
        linewidth=1.6,
        elinewidth=1.0,
        linestyle=(0, (5, 2)) if look.again else "-",
        marker=look.marker,
        markersize=5.5,
        markerfacecolor=PAPER if look.again else look.colour,
        markeredgecolor=look.colour if look.again else PAPER,
        markeredgewidth=1.0 if look.again else 0.7,
    )


def sparser(axis: Any, values: Sequence[float]) -> None:
    """A sparsity axis: by the logarithm of what is left."""
    left = [100 - value for value in values]
    most, least = widened(max(left), min(left))
    percents(axis, "x", min(most, 110.0), least)


def fewer(axis: Any, values: Sequence[float]) -> None:
    """The axis of SynOps: logarithmic, the most at its left."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    most, least = widened(max(values), min(values))
    axis.set_xscale("log")
    axis.set_xlim(most, least)
    decades = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    subs = (
        (1, 1.5, 2, 3, 4, 5, 6, 8)
        if most / least < 4
        else (1, 2, 5)
        if most / least < 60
        else (1, 3)
        if most / least < 1000
        else (1,)
    )
    axis.xaxis.set_major_locator(FixedLocator([sub * 10.0**decade for decade in decades for sub in subs]))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: thousands(value)))


def widened(most: float, least: float) -> tuple[float, float]:
    """Both ends moved out, in proportion, so that they are a factor of two apart or more and no mark sits on the edge."""
    room = max(1.12, math.sqrt(2 * least / most))
    return most * room, least / room


def thousands(value: float) -> str:
    """2000 is "2k": ticks have little room."""
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:g}{letter}"
    return f"{value:g}"


# Where nothing is left, a logarithm has no place; the mark stands at the end instead.
PANELS: tuple[tuple[str, Callable[[Trained], float], Callable[[Any, Sequence[float]], None]], ...] = (
    ("Weights that are zero, %", lambda one: min(100 * one.sparsity, 99.999), sparser),
    ("Synapses that are zero, %", lambda one: min(100 * one.synapse_sparsity, 99.999), sparser),
    ("SynOps per sample (fewer →)", lambda one: max(one.synops, 1.0), fewer),
)
