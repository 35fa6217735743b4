"""The report's words and numbers, without a run: wording, the verdict's honesty, hostile names, the axis."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filopodia.errors import FileError
from filopodia.report import contest, glance, wording
from filopodia.report.costs import Amount, Cause, Contestant, Lever
from filopodia.report.data import decode_report
from filopodia.report.page import Scale, flattened

positive = st.floats(min_value=1e-17, max_value=900.0)


@given(positive)
def test_si_says_the_value(value: float) -> None:
    number, unit = wording.si(value, "J").split(wording.THIN)
    factor = {"J": 1.0, "mJ": 1e-3, "µJ": 1e-6, "nJ": 1e-9, "pJ": 1e-12, "fJ": 1e-15}[unit]
    assert float(number) * factor == pytest.approx(value, rel=6e-3)


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.234e-6, "1.23 µJ"), (9.999e-7, "1.00 µJ"), (0.0, "0 J"), (2.5, "2.50 J"), (4e-10, "400 pJ")],
)
def test_si(value: float, text: str) -> None:
    assert wording.si(value, "J").replace(wording.THIN, " ") == text


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(0.98123, "98.1 %"), (1.0, "100.0 %"), (0.99999, "> 99.9 %"), (0.0, "0.0 %"), (1e-6, "< 0.1 %")],
)
def test_percent_never_rounds_into_certainty(fraction: float, text: str) -> None:
    assert wording.percent(fraction).replace(wording.THIN, " ") == text


def test_counts_and_ratios() -> None:
    assert wording.count(1234567).replace(wording.THIN, " ") == "1 234 567"
    assert wording.count(2.55) == "2.5"
    assert wording.ratio(3.14159) == "3.1×"
    assert wording.duration(95).replace(wording.THIN, " ") == "1 min 35 s"


def contestant(name: str, low: float, nominal: float, high: float, group: contest.Group = "chip") -> Contestant:
    return Contestant(
        name=name, platform="", energy=Amount(low=low, nominal=nominal, high=high), dynamic=None, static=None, latency=None,
        accuracy=None, scope="per operation", group=group,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("own", "twin", "ann", "standing", "words"),
    [
        ((1, 2, 3), (10, 20, 30), (4, 8, 9), "wins", ("10× less than its dense twin", "and 4.0× less than an int8 ANN")),
        ((1, 2, 3), (10, 20, 30), (0.1, 0.2, 0.3), "loses", ("10× less", "but 10× more than an int8 ANN")),
        ((1, 2, 3), (2, 4, 6), (4, 8, 9), "undecided", ("2.0× less than its dense twin (the ranges overlap)",)),
        (
            (1, 2, 3),
            (1, 2.02, 3),
            (10, 20, 30),
            "undecided",
            ("about as much as its dense twin (the ranges overlap), and 10× less",),
        ),
        ((10, 20, 30), (1, 2, 3), (1, 2, 3), "loses", ("10× more than its dense twin, and 10× more",)),
    ],
)
def test_the_verdict_is_honest(
    own: tuple[float, ...], twin: tuple[float, ...], ann: tuple[float, ...], standing: str, words: tuple[str, ...]
) -> None:
    rows = (contestant(contest.OWN, *own), contestant(contest.TWIN, *twin), contestant("ANN, int8", *ann, group="artificial"))
    sentence, found = contest.verdict(rows, "on Loihi 2")
    assert found == standing
    for word in words:
        assert word in sentence


def test_a_network_with_unpriced_events_cannot_win() -> None:
    rows = [contestant(contest.OWN, 1, 2, 3), contestant(contest.TWIN, 10, 20, 30), contestant("ANN, int8", 7, 8, 9)]
    rows[0] = msgspec.structs.replace(rows[0], unpriced=("synops (64.5 per sample)", "static power"))
    sentence, standing = contest.verdict(tuple(rows), "priced as Speck")
    assert sentence.startswith("Priced as Speck, one sample costs 2.00")
    assert sentence.endswith("Not in it, for want of a price: synops.")
    assert standing == "undecided"
    nothing = contest.verdict((contestant(contest.OWN, 0, 0, 0), *rows[1:]), "priced as Xylo")
    assert nothing == ("Priced as Xylo, nothing that it does has a price: there is no verdict.", "undecided")


def test_prices_of_another_chip_are_named() -> None:
    own = {"chip": "loihi2", "title": "TrueNorth, all-in"}
    assert contest.place({"pruned": {**own, "costs": "loihi2/pilotnet"}}, "Loihi 2") == "on Loihi 2"
    assert contest.place({"pruned": {**own, "costs": "truenorth/merolla2014"}}, "Loihi 2") == "priced as TrueNorth, all-in"


def price(section: str, term: str, evidence: str) -> dict[str, object]:
    return {"section": section, "term": term, "price": {"evidence": evidence}}


def test_certainty_names_the_weakest_evidence_and_what_is_missing() -> None:
    own = {
        "evidence": {"projected": 0.25, "measured": 0.75},
        "static": {"nominal": 1.0},
        "timing": {"paced": False},
        "constants": [price("power", "static_chip", "measured"), price("time", "hop", "projected")],
        "unpriced": [],
        "uncounted": ["inputs (155.942 per sample)"],
    }  # fmt: skip
    said = glance.certainty(own).replace(wording.THIN, " ")
    assert "75 % measured, 25 % projected" in said
    assert "measured power over a projected time" in said
    assert said.endswith("Not in the total: inputs.")


def test_levers_that_reach_nothing_are_said_to() -> None:
    none = Lever(name="Steps per sample", now="8", needed="none would do", reachable=False)
    one = Lever(name="Synapse sparsity", now="77 %", needed="81 % or more")
    assert glance.changes((none,)).startswith("Nothing alone")
    assert glance.changes((none, one)).endswith("synapse sparsity 81 % or more (now 77 %).")
    assert glance.changes(()) == ""


def test_places_name_shares_of_the_total() -> None:
    def cause(name: str, value: float) -> Cause:
        return Cause(name=name, events="", energy=Amount(low=value, nominal=value, high=value))

    own = contestant("This network", 1, 4, 9)
    causes = (cause("Host, not in the total", 9), cause("Static power", 3), cause("Synops", 1), cause("Spikes", 0.001))
    assert glance.places(own, causes).replace(wording.THIN, " ") == "Static power 75 %, synops 25 %."


def test_a_small_number_keeps_its_size() -> None:
    assert wording.scientific(2.98e-9) == "2.98 × 10⁻⁹"


@given(st.lists(positive, min_size=1, max_size=5))
def test_the_axis_holds_every_amount(values: list[float]) -> None:
    scale = Scale.over([Amount(low=value / 2, nominal=value, high=value * 3) for value in values])
    for value in values:
        assert 0 <= scale.at(value / 2) <= scale.at(value) <= scale.at(3 * value) <= 100
    assert scale.at(10.0**scale.first) == 0
    assert scale.at(10.0**scale.last) == pytest.approx(100)
    assert len(scale.ticks) <= 9
    assert math.isfinite(sum(scale.ticks))


def test_an_axis_of_nothing() -> None:
    assert Scale.over([Amount(low=0, nominal=0, high=0)]).at(0.0) == 0


def test_settings_are_dotted_rows() -> None:
    assert flattened({"a": {"b": 1, "c": [1, 2]}, "d": "x"}) == [("a.b", "1"), ("a.c", "1, 2"), ("d", "x")]


def test_a_foreign_report_is_refused() -> None:
    with pytest.raises(FileError, match="not a report"):
        decode_report(b'{"format": "other"}', "report.json")
