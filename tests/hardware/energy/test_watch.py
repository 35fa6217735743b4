"""A run watched in parts: the same as one that recorded everything."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from filopodia.errors import InputError
from filopodia.hardware import against_baselines, neurobench_metrics, simulate
from filopodia.hardware.energy import watch as module
from filopodia.hardware.energy.count import count_events
from filopodia.hardware.energy.watch import watch
from filopodia.hardware.program import Connection, Dense, Input, Layer, Program


def leaky() -> tuple[Program, NDArray[np.bool_]]:
    """Input 12 -> 20 -> 4 without biases, few spikes: many neurons rest."""
    rng = np.random.default_rng(3)

    def layer(name: str, size: int, latency: int) -> Layer:
        values = (np.array(x, np.int32) for x in (4095, 1024, 40, 0))
        return Layer(name, (size,), *values, latency=latency)

    weights = [Dense((2 * rng.integers(-20, 30, shape)).astype(np.int16)) for shape in ((20, 12), (4, 20))]
    program = Program(
        (Input("in", (12,)),),
        (layer("h", 20, 1), layer("o", 4, 2)),
        (Connection("in", "h", weights[0]), Connection("h", "o", weights[1])),
        ("o",),
    )
    return program, rng.random((6, 7, 12)) < 0.08


def test_parts_count_what_a_whole_recording_does(monkeypatch: pytest.MonkeyPatch) -> None:
    program, spikes = leaky()
    whole = simulate(program, spikes, record=("spikes", "u", "v"))
    bare = simulate(program, spikes)
    monkeypatch.setattr(module, "BYTES", 9 * 6 * 24 * 2)  # two samples at a time, the last part has one
    events, moved = watch(count_events(bare, program), bare, program, spikes)
    expected = count_events(whole, program)
    for name in ("h", "o"):
        np.testing.assert_array_equal(events[name].active, expected[name].active)
        assert 0 < events[name].active.sum() < events[name].updates.sum()
    assert moved == neurobench_metrics(whole, program)["MembraneUpdates"]


def test_a_comparison_tells_active_from_idle_where_it_knows_what_went_in() -> None:
    program, spikes = leaky()
    activity = simulate(program, spikes)
    blind, seeing = (against_baselines(activity, program, "loihi1/davies2018", fed=fed) for fed in (None, spikes))
    assert "MembraneUpdates" not in blind.metrics
    assert "MembraneUpdates" in seeing.metrics
    assert {"neuron updates, active", "neuron updates, idle"} <= {c.name for c in seeing.pruned.by_cause}
    assert seeing.pruned.dynamic.nominal < blind.pruned.dynamic.nominal


def test_other_spikes_are_refused() -> None:
    program, spikes = leaky()
    activity = simulate(program, spikes)
    with pytest.raises(InputError, match="other spikes than the run's"):
        watch(count_events(activity, program), activity, program, ~spikes)
    with pytest.raises(InputError, match="other spikes"):
        watch(count_events(replace(activity), program), activity, program, np.zeros_like(spikes))
