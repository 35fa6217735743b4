"""The picture of accuracy against what is left: axes by what is missing, names that do not touch, one look for each curve."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filopodia.report.axes import PERCENTS, Name, panels, percents, write_names
from filopodia.report.curves import MARKERS, Curve, Trained, accuracy_curves, looks_of, thousands
from filopodia.report.figures import standalone
from filopodia.report.wording import THIN, Over, deviating, over


def trained(accuracy: float, sparsity: float = 0.9) -> Trained:
    return Trained(accuracy=accuracy, sparsity=sparsity, synapse_sparsity=sparsity / 2, synops=1e5 * (1 - sparsity) + 1)


def curve(label: str, *accuracies: float, level: bool = False) -> Curve:
    points = tuple((trained(a, 1 - 0.5**k), trained(a - 0.01, 1 - 0.5**k)) for k, a in enumerate(accuracies, 1))
    return Curve(label=label, points=points, level=level)


CURVES = [curve("dense", 0.97, level=True), curve("stds", 0.97, 0.96, 0.95), curve("grad r & <co>", 0.96, 0.9, 0.6)]


@pytest.mark.parametrize("wide", [True, False])
def test_it_names_what_it_draws_and_is_the_same_each_time(wide: bool) -> None:
    svg = accuracy_curves(CURVES, wide=wide)
    texts = re.findall(r">([^<>]+)</text>", svg)
    for title in ("Weights that are zero, %", "Synapses that are zero, %", "SynOps per sample (fewer →)", "right answers, %"):
        assert texts.count(title) == 1
    assert texts.count("stds") == (1 if wide else 3)  # wide panels share one column of names
    assert "grad r &amp; &lt;co&gt;" in svg
    assert "#0" not in svg  # every colour is the page's
    assert svg == accuracy_curves(CURVES, wide=wide)


@pytest.mark.parametrize(
    "curves",
    [
        [curve("dense", 1.0, level=True)],
        [curve("one", 1.0)],
        [curve("none right", 0.01, 0.0)],
        [Curve(label="all gone", points=((Trained(accuracy=0.1, sparsity=1.0, synapse_sparsity=1.0, synops=0.0),),))],
        [curve(f"method {k} of many", 0.9, 0.5 + 0.01 * k) for k in range(20)],
    ],
    ids=lambda curves: curves[0].label,
)
def test_the_ends_of_all_scales_are_drawn(curves: list[Curve]) -> None:
    for wide in (True, False):
        texts = re.findall(r">([^<>]+)</text>", accuracy_curves(curves, wide=wide))
        assert all(float(text) <= 100 for text in texts if re.fullmatch(r"[\d.]+", text))


def test_no_two_of_sixteen_curves_look_alike() -> None:
    curves = [curve(str(k), 0.9) for k in range(16)]
    assert len(set(looks_of(curves))) == 16 == 2 * len(MARKERS)


@given(st.lists(st.tuples(st.text("ab c", min_size=1, max_size=40), st.floats(0, 100)), min_size=1, max_size=30))
def test_names_never_touch_and_stay_beside_the_panel(drawn: list[tuple[str, float]]) -> None:
    names = [Name(text, height, "#010101") for text, height in drawn]
    figure, (axis,) = panels(1, names, wide=True)
    axis.set_ylim(0, 100)
    write_names(axis, names)
    inches = axis.get_position().height * figure.get_size_inches()[1]
    placed = sorted((note.xyann[1] * inches * 72, note.get_text().count("\n") + 1) for note in axis.texts)
    tall = 1.3 * 8.5
    assert all(b - a >= tall * (lines + more) / 2 - 1e-6 for (a, lines), (b, more) in pairwise(placed))
    assert placed[0][0] >= -1e-6
    assert placed[-1][0] <= inches * 72 + 1e-6


@given(st.floats(0.001, 50.0), st.floats(1.5, 1000.0))
def test_ticks_of_per_cent_are_round_and_apart(least: float, factor: float) -> None:
    _, (axis,) = panels(1, [Name("a", 0, "#010101")], wide=True)
    percents(axis, "x", min(110.0, least * factor), least)
    shown = axis.get_xticks()
    assert set(shown) <= set(PERCENTS)
    assert list(shown) == sorted(shown)


def test_a_picture_of_its_own_is_whole(tmp_path_factory: pytest.TempPathFactory) -> None:
    from xml.etree import ElementTree

    root = ElementTree.fromstring(standalone(accuracy_curves(CURVES, wide=True)))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    style = root[0].text or ""
    used = set(re.findall(r"var\((--\w+)\)", standalone(accuracy_curves(CURVES, wide=True))))
    assert used
    assert all(f"{name}:" in style for name in used)
    assert "prefers-color-scheme: dark" in style


def test_means_and_deviations_as_text() -> None:
    assert over([1.0]) == Over(1.0, None)
    assert over([1.0, 3.0]).sd == pytest.approx(2**0.5)
    assert deviating(Over(3.19e-5, 6e-7), "J").replace(THIN, " ") == "31.9 ± 0.6 µJ"
    assert deviating(Over(66477.0, 1234.5)).replace(THIN, " ") == "66 477 ± 1 234"
    assert deviating(Over(2.5e-6, None), "J").replace(THIN, " ") == "2.50 µJ"
    assert [thousands(value) for value in (1.0, 500.0, 2000.0, 1.5e6)] == ["1", "500", "2k", "1.5M"]
