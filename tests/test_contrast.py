"""The page of several runs: hostile names, unknown values, the same bytes each time."""

from __future__ import annotations

import re

from filopodia.report.contrast import Entry, render_contrast
from filopodia.report.costs import Amount


def entry(name: str, energy: float, accuracy: float | None = 0.9, beaten_by: tuple[str, ...] = ()) -> Entry:
    value = Amount(low=energy / 2, nominal=energy, high=2 * energy)
    return Entry(
        name=name, costs="loihi2/pilotnet", accuracy=accuracy, energy=value, latency=None, cores=0, synops=1000.0, sparsity=0.9,
        beaten_by=beaten_by, surely=beaten_by,
    )  # fmt: skip


def test_names_are_text_and_not_markup() -> None:
    page = render_contrast([entry("<script>alert(1)</script>", 1e-6), entry("b", 2e-6)], ())
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_the_beaten_run_says_by_whom() -> None:
    entries = [entry("a", 1e-6), entry("b", 9e-6, beaten_by=("a",))]
    page = render_contrast(entries, ("energy incomplete: a",))
    assert "1 of 2 is beaten by no other: a." in page
    assert "1 (surely)" in page
    assert "Energy incomplete: a." in page
    assert page == render_contrast(entries, ("energy incomplete: a",))


def test_runs_of_one_place_share_a_label_and_no_axis_passes_100_per_cent() -> None:
    page = render_contrast([entry("a", 1e-6, 0.9972), entry("b", 1e-6, 0.9972), entry("c", 2e-6, 0.99)], ())
    labels = re.findall(r">([^<>]+)</text>", page)
    assert "1, 2" in labels
    assert "3" in labels
    assert all(float(label) <= 100 for label in labels if re.fullmatch(r"\d+\.\d+|1\d\d", label))


def test_without_any_accuracy_there_is_a_table_alone() -> None:
    page = render_contrast([entry("a", 1e-6, None), entry("b", 2e-6, None)], ())
    assert "<svg" not in page
    assert page.count("<td") > 10
