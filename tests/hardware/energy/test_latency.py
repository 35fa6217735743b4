"""Step times worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from filopodia.errors import InputError
from filopodia.hardware import estimate
from filopodia.hardware.activity import Activity
from filopodia.hardware.chip import load_costs
from filopodia.hardware.energy.count import count_events
from filopodia.hardware.energy.latency import step_times
from filopodia.hardware.program import Connection, Core, Dense, Input, Layer, Program


def two_layers() -> tuple[Program, Activity]:
    one = np.array(1, np.int32)
    weight = np.full((1000, 10), 2, np.int16)
    cores = (
        Core(0, 0, (0, 0, 0), {"h": np.arange(800, dtype=np.int32)}, {}),
        Core(1, 0, (0, 0, 1), {"h": np.arange(800, 1000, dtype=np.int32)}, {}),
        Core(2, 0, (3, 0, 0), {"o": np.arange(4, dtype=np.int32)}, {}),
    )
    program = Program(
        (Input("in", (10,)),),
        (Layer("h", (1000,), one, one, one, one, latency=1), Layer("o", (4,), one, one, one, one, latency=2)),
        (Connection("in", "h", Dense(weight)), Connection("h", "o", Dense(np.full((4, 1000), 2, np.int16)))),
        ("o",),
        "loihi1",
        cores,
    )
    spikes = {"in": np.zeros((3, 2, 10), bool), "h": np.zeros((3, 2, 1000), bool), "o": np.zeros((3, 2, 4), bool)}
    spikes["in"][1, 0] = True  # 10 spikes, 8000 synops on core 0, in step 1 of the first sample
    spikes["h"][1, 0, :500] = True  # 2000 synops on core 2
    return program, Activity("test", 3, 2, spikes, {})


def test_a_step_lasts_as_long_as_its_slowest_core() -> None:
    program, activity = two_layers()
    costs = load_costs("loihi1/davies2018")
    times = step_times(program, count_events(activity, program), costs)
    assert times is not None
    barrier = costs.synchronisation(2).nominal
    assert len(times.steps["nominal"]) == 3 * 2
    quiet = 800 * 8.4e-9  # neuron updates of core 0
    expected = np.full(6, barrier + quiet)
    busy = 8000 * 3.5e-9
    assert busy > quiet
    expected[2] = barrier + busy + 3 * 5.3e-9  # three hops each
    expected[3] = barrier + 2000 * 3.5e-9  # the last layer's core, one step later
    np.testing.assert_allclose(times.steps["nominal"], expected)
    assert (times.steps["low"] <= times.steps["nominal"]).all()
    assert (times.steps["nominal"] <= times.steps["high"]).all()
    np.testing.assert_allclose(times.sample_latency(2, 3), [expected[0:5].sum(), expected[3:6].sum() + expected[:2].sum()])


def test_bottleneck_and_imbalance() -> None:
    program, activity = two_layers()
    found = estimate(activity, program, "loihi1/davies2018")
    assert found.timing is not None
    assert found.timing.bottleneck == "0"
    assert found.timing.imbalance > 2
    assert found.timing.throughput == pytest.approx(1 / found.timing.period.nominal)
    assert found.edp is not None
    assert found.edp.nominal == pytest.approx(found.total.nominal * found.timing.period.nominal)


def test_measured_rates_of_layers_replace_the_tables() -> None:
    program, activity = two_layers()
    events, costs = count_events(activity, program), load_costs("loihi1/davies2018")
    times = step_times(program, events, costs, {"h": 10e-9})
    assert times is not None
    assert times.busy[0].max() == pytest.approx(8000 * 10e-9)
    with pytest.raises(InputError, match="synop_s: no layer named 'x'"):
        estimate(activity, program, "loihi1/davies2018", synop_s={"x": 1e-9})
    with pytest.raises(InputError, match="step_s = -1"):
        estimate(activity, program, "loihi1/davies2018", step_s=-1)


def test_a_pace_that_the_chip_cannot_keep_is_said() -> None:
    program, activity = two_layers()
    easy, hard = (estimate(activity, program, "loihi1/davies2018", step_s=pace) for pace in (1e-3, 10e-6))
    assert easy.timing is not None
    assert hard.timing is not None
    assert easy.timing.step.nominal == pytest.approx(1e-3)
    assert not any("cannot keep" in text for text in easy.assumptions)
    assert hard.timing.step.nominal > 10e-6
    assert any("cannot keep that pace: 16.7%" in text for text in hard.assumptions)


def test_without_time_prices_there_is_no_time() -> None:
    program, activity = two_layers()
    found = estimate(activity, program, "spinnaker1")
    assert found.timing is None
    assert found.static is None
    assert any("static" in text for text in found.unpriced)
