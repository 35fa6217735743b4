"""The page of several runs: hostile names, unknown values, the same bytes each time."""

from __future__ import annotations

import re

import msgspec

from filopodia.report.contrast import Entry, render_contrast
from filopodia.report.costs import Amount
from filopodia.report.curves import Curve, Trained


def entry(name: str, energy: float, accuracy: float | None = 0.9, beaten_by: tuple[str, ...] = ()) -> Entry:
    value = Amount(low=energy / 2, nominal=energy, high=2 * energy)
    return Entry(
        name=name, costs="loihi2/pilotnet", accuracy=accuracy, energy=value, latency=None, cores=0, synops=1000.0, sparsity=0.9,
        beaten_by=beaten_by, surely=beaten_by,
    )  # fmt: skip


def test_names_are_text_and_not_markup() -> None:
    page = render_contrast([entry("<script>alert(1)</script>", 1e-6), entry("b", 2e-6)], (), (), 2)
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_the_beaten_run_says_by_whom() -> None:
    entries = [entry("a", 1e-6), entry("b", 9e-6, beaten_by=("a",))]
    page = render_contrast(entries, ("energy incomplete: a",), (), 2)
    assert "1 of 2 is beaten by no other: a." in page
    assert "1 (surely)" in page
    assert "Energy incomplete: a." in page
    assert page == render_contrast(entries, ("energy incomplete: a",), (), 2)


def test_runs_of_one_height_share_a_name_and_no_axis_passes_100_per_cent() -> None:
    page = render_contrast([entry("r/a", 1e-6, 0.9972), entry("r/b", 1e-6, 0.9972), entry("r/c", 2e-6, 0.99)], (), (), 3)
    labels = re.findall(r">([^<>]+)</text>", page)
    assert "a, b" in labels  # the folders' own names, where these tell the runs apart
    assert "c" in labels
    assert all(float(label) <= 100 for label in labels if re.fullmatch(r"\d+\.\d+|1\d\d", label))
    assert "r/a" in re.findall(r">([^<>]+)</text>", render_contrast([entry("r/a", 1e-6), entry("s/a", 1e-6, 0.8)], (), (), 2))


def test_cores_are_drawn_where_they_differ() -> None:
    runs = [msgspec.structs.replace(entry(name, 1e-6), cores=cores) for name, cores in (("a", 1), ("b", 2))]
    assert "Neurocores" in render_contrast(runs, (), (), 2)
    assert "Neurocores" not in render_contrast(runs[:1] * 2, (), (), 2)


def test_runs_that_were_only_trained_have_their_picture_and_table() -> None:
    made = [Trained(accuracy=a, sparsity=0.9, synapse_sparsity=0.8, synops=66477.0) for a in (0.98, 0.99)]
    page = render_contrast([], ("no estimate: a, b",), [Curve(label="<stds>", points=(tuple(made),))], 2)
    assert page.count("<svg") == 2  # for wide and for narrow pages
    assert "<h1>2 runs" in page
    assert "&lt;stds&gt; ×2" in page
    assert "98.50 ± 0.71" in page
    assert "The numbers" not in page
    assert "beaten" not in page


def test_without_any_accuracy_there_is_a_table_alone() -> None:
    page = render_contrast([entry("a", 1e-6, None), entry("b", 2e-6, None)], (), (), 2)
    assert "<svg" not in page
    assert page.count("<td") > 10
