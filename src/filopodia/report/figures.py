"""The figures that are worth drawing: training curves and spike rasters, as SVG that takes its colours from the page.

Same report, same bytes: hash salt fixed, no date. Each figure is drawn for a wide and for a narrow page, since text in a
scaled picture does not stay readable on a phone.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from filopodia.report.data import Epoch, Raster

# Stand-ins for the page's colours, replaced by CSS variables in the finished SVG so that light and dark both work.
INK, MUTED, RULE, ACCENT, SECOND, PAPER = "#010101", "#020202", "#030303", "#040404", "#050505", "#060606"
SERIES = tuple(f"#1010{index + 10}" for index in range(8))  # what is many and of one rank: methods, layers
VARIABLES = {INK: "--ink", MUTED: "--muted", RULE: "--rule", ACCENT: "--accent", SECOND: "--second", PAPER: "--paper"}
VARIABLES |= {colour: f"--c{index}" for index, colour in enumerate(SERIES)}
VECTOR_SPIKES = 4000  # beyond this the marks of a raster are drawn as pixels: 20 000 vector marks weigh 2 MB
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
}


def styled(salt: str, *, grid: bool = True) -> Any:
    """The style of a figure; `salt` keeps its element names apart from those of the page's other figures."""
    return {**STYLE, "svg.hashsalt": salt, "axes.grid": grid}


def training_curves(epochs: Sequence[Epoch], *, wide: bool) -> str:
    """Test accuracy, weight sparsity and threshold d over the epochs, as three small panels. SVG text."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    panels = [
        ("Test accuracy, %", [100 * epoch.accuracy for epoch in epochs], ACCENT),
        ("Weight sparsity, %", [100 * epoch.sparsity for epoch in epochs], SECOND),
        ("Threshold d", [epoch.threshold for epoch in epochs], INK),
    ]
    with mpl.rc_context(styled(f"training {wide}")):
        figure = Figure(figsize=(9.6, 2.5) if wide else (3.6, 6.2), layout="constrained")
        axes = figure.subplots(1, 3) if wide else figure.subplots(3, 1)
        for axis, (title, values, colour) in zip(axes, panels, strict=True):
            axis.plot([epoch.epoch for epoch in epochs], values, color=colour, linewidth=1.8, solid_capstyle="round")
            axis.plot(epochs[-1].epoch, values[-1], "o", color=colour, markersize=4)
            for first in phase_starts(epochs):
                axis.axvline(first, color=MUTED, linewidth=0.8, linestyle=(0, (2, 3)))
            axis.set_title(title)
            axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            axis.yaxis.set_major_locator(MaxNLocator(4))
            axis.margins(x=0.03, y=0.08)
        axes[-1].set_xlabel("epoch")
        return finished(figure, f"Training over {len(epochs)} epochs: test accuracy, weight sparsity, threshold")


def phase_starts(epochs: Sequence[Epoch]) -> list[float]:
    """Between which epochs the training entered a new phase (the mask froze, fixed point began)."""
    return [(before.epoch + after.epoch) / 2 for before, after in pairwise(epochs) if before.phase != after.phase]


def spike_raster(rasters: Sequence[Raster], steps: int, *, wide: bool) -> str:
    """Spikes of one sample, one panel per layer, in the order of the network. SVG text."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    columns = min(len(rasters), 6 if wide else 2)
    rows = -(-len(rasters) // columns)
    with mpl.rc_context(styled(f"raster {wide}", grid=False)):
        size = (9.6, 2.9 * rows) if wide else (3.6, 2.6 * rows)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis, raster in zip(axes, rasters, strict=False):
            shown = -(-raster.neurons // raster.stride)
            width = (size[0] / columns - 0.6) * 72 / steps  # points that one step may take
            axis.scatter(
                [step + 1 for step in raster.steps],
                [index / raster.stride for index in raster.indices],
                s=min(60.0, max(4.0, (0.55 * width) ** 2)),
                marker="_",
                linewidths=1.1,
                color=ACCENT,
                rasterized=len(raster.steps) > VECTOR_SPIKES,
            )
            axis.set_title(raster.layer)
            axis.set_xlim(0.3, steps + 0.7)
            axis.set_ylim(shown - 0.2, -0.8)
            axis.set_yticks([0, shown - 1], ["1", f"{raster.neurons:,}".replace(",", " ")])
            axis.set_xticks(sorted({1, (steps + 1) // 2, steps}))
        for axis in axes[len(rasters) :]:
            axis.set_visible(False)
        axes[0].set_xlabel("step")
        return finished(figure, f"Spikes of one sample over {steps} steps in {len(rasters)} layers")


def finished(figure: Any, label: str) -> str:
    """The figure as an SVG element: page colours and fonts, a label for screen readers, nothing that varies between runs."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, dpi=160, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font: (\d+)px [^;\"]*", r"font-size: \1px; font-family: inherit", svg)
    svg = re.sub(r'<svg [^>]*?viewBox="([^"]+)"[^>]*>', rf'<svg viewBox="\1" role="img" aria-label="{label}">', svg, count=1)
    return svg.strip()


def standalone(svg: str) -> str:
    """The finished figure as a file of its own: with the page's colours, light and dark, and its font."""
    from importlib import resources

    css = (resources.files("filopodia.report") / "page.css").read_text(encoding="utf-8")
    colours = css[: css.index("* {")]
    style = f"<style>{colours}svg {{ background: var(--paper); font-family: system-ui, 'DejaVu Sans', sans-serif; }}</style>"
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    head, rest = svg.split(">", 1)
    return f"{head.replace('<svg', f'<svg {names}', 1)}>{style}{rest}\n"
