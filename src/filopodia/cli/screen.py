"""What a user watches: a bar while a step runs, a line when it is done, tables at the end. Plain lines without a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from filopodia.report.wording import duration
from filopodia.stage import Outcome
from filopodia.stage import Progress as Callback

PLAIN_EVERY_S = 5.0  # without a terminal, steps that report often say a line this often


@cache
def console() -> Console:
    """Standard output; 80 columns where the width is not known."""
    out = Console(highlight=False)
    return out if out.is_terminal else Console(highlight=False, width=80)


@contextmanager
def progress(label: str) -> Iterator[Callback]:
    """A callback (text, done, total) for library functions: a bar on a terminal, sparse plain lines elsewhere."""
    if not console().is_terminal:
        yield plain_progress(label)
        return
    columns = (
        TextColumn("  [bold]{task.fields[label]:<9}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.description}"),
    )
    with Progress(*columns, console=console(), transient=True) as bars:
        task = bars.add_task("", label=label, total=None)

        def report(text: str, done: int, total: int) -> None:
            bars.update(task, description=text, completed=done, total=total or None)

        yield report


def plain_progress(label: str) -> Callback:
    """Print every call whose text is new (an epoch), and otherwise one line every few seconds."""
    last_text, last_time = "", time.monotonic()

    def report(text: str, done: int, total: int) -> None:
        nonlocal last_text, last_time
        now = time.monotonic()
        if (text.startswith("epoch") and text != last_text) or now - last_time >= PLAIN_EVERY_S:
            print(f"  {label:<9} {f'{text}, ' if text != label else ''}{done} of {total}", flush=True)
            last_text, last_time = text, now

    return report


def say_outcome(outcome: Outcome, label: str = "") -> None:
    """One line for a finished step."""
    mark, style = {"done": ("✓", "green"), "reused": ("=", "dim"), "skipped": ("–", "yellow")}[outcome.how]
    took = {"done": duration(outcome.seconds), "reused": "up to date", "skipped": "skipped"}[outcome.how]
    console().print(
        f"[{style}]{mark}[/] [bold]{label or outcome.stage:<9}[/] {took:>10}  {escape(outcome.summary)}", soft_wrap=True
    )


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1, prose: int = 0) -> None:
    """A table: the first `left` and last `prose` columns flush left, the others right; without `columns`, all left, no head."""
    drawn = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0), show_header=bool(columns))
    for index, column in enumerate(columns or [""] * len(rows[0])):
        drawn.add_column(column, justify="left" if index < left or index >= len(columns) - prose else "right", overflow="fold")
    for row in rows:
        drawn.add_row(*map(escape, row))
    console().print(drawn)


def heading(text: str) -> None:
    """A title above a table."""
    console().print(f"\n[bold]{escape(text)}[/]")


def paragraph(text: str) -> None:
    """Text wrapped to the screen, with a line's space before it."""
    if text:
        console().print("\n" + escape(text))


def say(text: str) -> None:
    """A plain line; brackets in it are just brackets."""
    console().print(text, markup=False, soft_wrap=True)
