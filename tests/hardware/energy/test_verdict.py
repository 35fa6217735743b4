"""Verdicts on a network small enough to work out by hand, and the picture of several runs."""

from __future__ import annotations

import json
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from filopodia.errors import InputError
from filopodia.hardware import Estimate, against_baselines, compare, estimate, neurobench_metrics
from filopodia.hardware.activity import Activity
from filopodia.hardware.chip import load_costs
from filopodia.hardware.energy.comparison import Comparison
from filopodia.hardware.energy.neurobench import footprint, membrane_updates
from filopodia.hardware.energy.verdict import Verdict
from filopodia.hardware.program import Connection, Dense, Input, Layer, Program


def chain(steps: int = 8, rate: float = 0.25, density: float = 0.5) -> tuple[Program, Activity]:
    """Input 40 -> 60 -> 5; every `1 / rate`-th spike is there, every `1 / density`-th weight."""
    one = np.array(1, np.int32)
    layers = (Layer("h", (60,), one, one, one, one, latency=1), Layer("o", (5,), one, one, one, one, latency=2))

    def weights(n: int, m: int) -> Dense:
        kept = np.arange(n * m) % round(1 / density) == 0
        return Dense(np.where(kept, 2, 0).astype(np.int16).reshape(n, m))

    program = Program(
        (Input("in", (40,)),), layers, (Connection("in", "h", weights(60, 40)), Connection("h", "o", weights(5, 60))), ("o",)
    )
    spikes = {
        name: (np.arange(steps * size) % round(1 / rate) == 0).reshape(steps, 1, size)
        for name, size in (("in", 40), ("h", 60), ("o", 5))
    }
    return program, Activity("test", steps, 1, spikes, {})


def judged(steps: int = 8, rate: float = 0.25, density: float = 0.5) -> tuple[Comparison, Verdict]:
    program, activity = chain(steps, rate, density)
    found = against_baselines(activity, program, "loihi1/davies2018")
    return found, next(v for v in found.verdicts if v.baseline == "ANN" and v.baseline_costs == "cmos45/fp32")


def test_break_even_rate_makes_energies_equal() -> None:
    found, verdict = judged()
    assert verdict.ratio.nominal == pytest.approx(found.pruned.dynamic.nominal / found.anns[0].energy.nominal)
    assert verdict.ratio.low < verdict.ratio.nominal < verdict.ratio.high
    fixed = sum(c.energy.nominal for c in found.pruned.by_cause if c.energy and c.name.startswith("neuron updates"))
    driven = found.pruned.dynamic.nominal - fixed
    if verdict.break_even_rate is None:
        assert fixed >= found.anns[0].energy.nominal
    else:
        scaled = fixed + driven * verdict.break_even_rate / verdict.rate
        assert scaled == pytest.approx(found.anns[0].energy.nominal)


def test_steps_to_win_is_the_last_that_wins() -> None:
    _, verdict = judged(steps=8)
    assert verdict.steps_to_win is not None
    assert verdict.steps_to_win == int(8 / verdict.ratio.nominal)
    hopeless = judged(steps=400)[1]
    assert hopeless.answer == "loses"
    assert hopeless.break_even_rate is None
    assert "loses" in hopeless.sentences[0]


def test_sparsity_to_win_is_enough() -> None:
    found, verdict = judged(steps=2, rate=1.0, density=1.0)
    assert verdict.sparsity == 0
    assert verdict.sparsity_to_win is not None
    by_cause = {c.name: c.energy.nominal for c in found.pruned.by_cause if c.energy}
    left = found.pruned.dynamic.nominal - by_cause["synops"] * verdict.sparsity_to_win
    assert left <= found.anns[0].energy.nominal * (1 + 1e-9)


def test_a_price_that_turns_the_verdict_is_named() -> None:
    found, _ = judged()
    for verdict in found.verdicts:
        for swing in verdict.swings:
            assert swing.turns == ((swing.at_low < 1) != (swing.at_high < 1))
        sizes = [abs(swing.at_high - swing.at_low) for swing in verdict.swings]
        assert sizes == sorted(sizes, reverse=True)
        turning = [swing.term for swing in verdict.swings if swing.turns]
        assert all(term in verdict.sentences[-1] for term in turning)
    assert json.dumps(found.to_dict())


def test_a_lower_bound_cannot_win() -> None:
    program, activity = chain()
    costs = load_costs("loihi1/davies2018")
    cheap = {
        term: msgspec.structs.replace(price, low=1e-3, nominal=1e-3, high=1e-3)
        for term, price in costs.energy.items()
        if term in ("synop", "update_active", "input", "output")
    }
    bound = msgspec.structs.replace(costs, energy=cheap)
    free = {**cheap, "spike": cheap["synop"], "message": cheap["synop"]}
    for table, answer in ((bound, "open"), (msgspec.structs.replace(costs, energy=free), "wins")):
        verdict = against_baselines(activity, program, table).verdicts[0]
        assert verdict.ratio.high < 1
        assert verdict.answer == answer
        assert ("A lower bound: the table has no price for spikes." in verdict.sentences) == (answer == "open")


def test_where_nothing_has_a_price_there_is_no_verdict() -> None:
    for verdict in against_baselines(*reversed(chain()), "speck").verdicts:
        assert verdict.answer == "open"
        assert verdict.sentences == ("Nothing that the SNN does has a price in speck/yao2024: there is no verdict.",)


def test_prices_of_one_table_move_both_sides() -> None:
    found, _ = judged()
    for verdict in found.like_for_like_verdicts:
        assert verdict.costs == verdict.baseline_costs == "cmos45/int8"
        other = next(one for one in found.anns if one.name == verdict.baseline and one.costs == verdict.costs)
        apart = found.like_for_like.dynamic.high / other.energy.low
        assert verdict.ratio.low <= verdict.ratio.nominal <= verdict.ratio.high < apart
        assert all(verdict.ratio.low <= end <= verdict.ratio.high for s in verdict.swings for end in (s.at_low, s.at_high))


def test_accuracies_of_trained_baselines_are_kept() -> None:
    program, activity = chain()
    found = against_baselines(activity, program, "loihi1", accuracies={"cmos45/int8 ANN": 0.97})
    assert [one.accuracy for one in found.anns] == [None, 0.97, None, None]
    assert any("not measured" in text for text in found.anns[0].assumptions)
    with pytest.raises(InputError, match="no baseline 'ANN'"):
        against_baselines(activity, program, "loihi1", accuracies={"ANN": 0.97})


def test_picture_of_runs() -> None:
    program, activity = chain()
    few, many = estimate(activity, program, "loihi1"), estimate(*reversed(chain(rate=1.0)), "loihi1")
    picture = compare({"few": (0.9, few), "many": (0.8, many), "good": (0.95, many)})
    assert picture.front == ("few", "good")
    assert picture.points[1].dominated_by == ("few", "good")
    assert any("incomplete" in text for text in picture.warnings)
    assert json.dumps(picture.to_dict())
    again = Estimate.from_dict(json.loads(json.dumps(few.to_dict())))
    assert again == few
    with pytest.raises(InputError, match="no runs"):
        compare({})
    with pytest.raises(InputError, match="accuracy 90"):
        compare({"a": (90.0, few)})
    with pytest.raises(InputError, match="dynamic"):
        Estimate.from_dict({**few.to_dict(), "dynamic": "cheap"})


def test_neurobench_metrics_by_hand() -> None:
    program, activity = chain(steps=2, rate=1.0, density=0.5)
    found = neurobench_metrics(activity, program)
    assert found["SynapticOperations"] == {"Effective_MACs": 0, "Effective_ACs": 2 * (1200 + 150), "Dense": 2 * 2700.0}
    assert found["ConnectionSparsity"] == 0.5
    assert found["ActivationSparsity"] == 0
    assert "MembraneUpdates" not in found
    assert found["Footprint"] == footprint(program) == 2700 + 2 * 16
    v = {"h": np.zeros((2, 1, 60)), "o": np.stack([np.zeros((1, 5)), np.arange(5.0)[None]])}
    assert membrane_updates(v["o"]) == 5 + 4
    assert neurobench_metrics(replace(activity, states={"v": v}), program)["MembraneUpdates"] == 60 + 9
