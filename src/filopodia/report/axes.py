"""Axes and names that the pictures of several networks share: per cent by what is missing to 100, names at the lines' ends."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

LABEL_PT, LABEL_CHARS, LEADER_PT = 8.5, 18, 14  # the size of names, where they break, how far from the panel they stand
PERCENTS = (
    90.0,
    99.0,
    50.0,
    95.0,
    99.9,
    80.0,
    98.0,
    99.5,
    0.0,
    70.0,
    97.0,
    99.8,
    60.0,
    85.0,
    99.7,
    96.0,
    92.0,
    30.0,
    97.5,
    98.5,
)


@dataclass(frozen=True)
class Name:
    """A name at the right of a panel, for what ends at `height` on its y axis."""

    text: str
    height: float
    colour: str

    @property
    def lines(self) -> list[str]:
        return textwrap.wrap(self.text, LABEL_CHARS) or [self.text]

    @property
    def points(self) -> float:
        """How much room it takes from top to bottom."""
        return 1.3 * LABEL_PT * len(self.lines)


def room_for(names: Sequence[Name]) -> tuple[float, float]:
    """Inches that a column of names takes: wide and high."""
    return 0.28 + 0.076 * max(len(line) for name in names for line in name.lines), sum(name.points for name in names) / 72


def panels(count: int, names: Sequence[Name], *, wide: bool) -> tuple[Any, list[Any]]:
    """A figure with room for the names: `count` panels with one y axis, side by side or below each other."""
    from matplotlib.figure import Figure

    column, high = room_for(names)
    panel = max(3.0 if wide else 2.2, high)
    size = (9.6, panel + 0.6) if wide else (3.6, count * (panel + 0.6))
    figure = Figure(figsize=size)
    axes = (
        figure.subplots(1, count, sharey=True, squeeze=False) if wide else figure.subplots(count, 1, sharey=True, squeeze=False)
    )
    margins = {"left": 0.6 / size[0], "right": 1 - column / size[0], "bottom": 0.3 / size[1], "top": 1 - 0.3 / size[1]}
    figure.subplots_adjust(**margins, wspace=0.1, hspace=0.6 / panel)
    return figure, list(axes.ravel())


def answers(axis: Any, low: float, best: float, high: float) -> None:
    """The y axis of right answers in per cent, from `low` to `high`, the `best` mark below it: by the logarithm of the
    wrong ones where these span much, else even."""
    from matplotlib.ticker import MaxNLocator

    if best < 100 and (100 - low) / (100 - best) > 5:
        percents(axis, "y", (100 - low) * 1.1, 0.8 * (100 - (high if high < 100 else best)))
    else:
        room = max(0.5, 0.08 * (high - low))
        axis.set_ylim(low - room, min(100.0, high) + room)
        axis.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}" if value <= 100 else "")
    axis.set_ylabel("right answers, %")


def percents(axis: Any, which: str, most: float, least: float) -> None:
    """Make an axis ("x" or "y") of per cent logarithmic in what is missing to 100: from `most` missing to `least`."""
    from matplotlib.ticker import FixedLocator, NullLocator

    getattr(axis, f"set_{which}scale")("function", functions=(_to_nines, _from_nines))
    getattr(axis, f"set_{which}lim")(100 - most, 100 - least)
    along = 0 if which == "x" else 1
    inches = axis.get_position().size[along] * axis.figure.get_size_inches()[along]
    apart = math.log10(most / least) * (0.36, 0.25)[along] / inches  # between the texts of two ticks, in decades
    kept: list[float] = []
    for value in PERCENTS:
        at = math.log10(100 - value)
        if math.log10(least) <= at <= math.log10(most) and all(abs(at - math.log10(100 - other)) >= apart for other in kept):
            kept.append(value)
    ticks = getattr(axis, f"{which}axis")
    ticks.set_major_locator(FixedLocator(sorted(kept)))
    ticks.set_minor_locator(NullLocator())
    ticks.set_major_formatter(lambda value, _: f"{value:g}")


def _to_nines(values: Any) -> Any:
    import numpy as np

    return -np.log10(np.maximum(100.0 - values, 1e-6))


def _from_nines(values: Any) -> Any:
    return 100.0 - 10.0**-values


def write_names(axis: Any, names: Sequence[Name]) -> None:
    """The names at the right of the panel, at their heights, moved apart where they would touch."""
    from sklearn.isotonic import isotonic_regression

    width, height = axis.get_position().size * axis.figure.get_size_inches() * 72  # points
    up = axis.transData + axis.transAxes.inverted()
    placed = sorted(
        ((float(up.transform((axis.get_xlim()[1], name.height))[1]), name) for name in names), key=lambda one: one[0]
    )
    offsets = [0.0, *accumulate((a.points + b.points) / 2 for (_, a), (_, b) in pairwise(placed))]
    wanted = [height * at - offset for (at, _), offset in zip(placed, offsets, strict=True)]
    free = isotonic_regression(wanted, y_min=0.0, y_max=max(0.0, height - offsets[-1]))
    for (at, name), offset, place in zip(placed, offsets, free, strict=True):
        axis.annotate(
            "\n".join(name.lines),
            (1, at),
            xycoords="axes fraction",
            xytext=(1 + LEADER_PT / width, (place + offset) / height),
            textcoords="axes fraction",
            va="center",
            fontsize=LABEL_PT,
            color=name.colour,
            arrowprops={"arrowstyle": "-", "color": name.colour, "lw": 0.8, "shrinkA": 1, "shrinkB": 0, "relpos": (0, 0.5)},
            annotation_clip=False,
        )
