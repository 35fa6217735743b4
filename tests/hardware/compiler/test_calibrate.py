"""Calibration: fewer wrong spikes than rounding blindly, and nothing taken that was not asked for."""

import nir
import numpy as np
import pytest

from filopodia import hardware
from filopodia.errors import ChipLimitError, InputError, UnsupportedError

DT = 1e-3


def _network(rng, outlier):
    full = np.ones(40, np.float32)
    weight = rng.normal(0, 0.15, (40, 60)).astype(np.float32)
    weight[0, 0] = outlier  # one large weight spoils the scale of all others
    nodes = {
        "input": nir.Input({"input": np.array([60])}),
        "fc": nir.Linear(weight),
        "n": nir.LIF(full * np.float32(5e-3), full, full * 0, full * np.float32(0.15), full * 0),
        "output": nir.Output({"output": np.array([40])}),
    }
    return hardware.load(nir.NIRGraph(nodes, [("input", "fc"), ("fc", "n"), ("n", "output")], type_check=False), dt=DT)


def _mismatch(program, spikes, network):
    """The share of spikes that differ, as `verify` tells it."""
    (comparison,) = hardware.verify(spikes, network=network, program=program).comparisons
    return 1 - next(layer for layer in comparison.layers if layer.layer == "n").agreement


def test_clipping_an_outlier_saves_the_others():
    rng = np.random.default_rng(0)
    network = _network(rng, outlier=3.0)
    seen, unseen = rng.random((40, 8, 60)) < 0.3, rng.random((40, 8, 60)) < 0.3
    blind = hardware.compile(network)
    calibrated = hardware.compile(network, calibration=seen)
    assert calibrated.metadata["layers"]["n"]["mismatch"] == pytest.approx(_mismatch(calibrated, seen, network), abs=1e-3)
    assert _mismatch(calibrated, unseen, network) < 0.95 * _mismatch(blind, unseen, network)


def test_adapted_weights_follow_correlated_spikes():
    rng = np.random.default_rng(1)
    network = _network(rng, outlier=0.4)
    groups = rng.random((40, 24, 12)) < 0.3
    spikes = np.repeat(groups, 5, axis=2) & (rng.random((40, 24, 60)) < 0.9)  # neighbours fire together
    blind = hardware.compile(network)
    calibrated = hardware.compile(network, calibration=spikes[:, :12])
    unseen = spikes[:, 12:]
    assert _mismatch(calibrated, unseen, network) < 0.6 * _mismatch(blind, unseen, network)


def test_a_scale_that_was_asked_for_is_kept():
    rng = np.random.default_rng(0)
    spikes = rng.random((5, 2, 60)) < 0.3
    program = hardware.compile(_network(rng, 1.0), calibration=spikes, scales={"n": 100.0})
    assert program.metadata["layers"]["n"]["scale"] == 100.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": {"m": 1.0}}, "no layer named m"),
        ({"wide": ["m"]}, "no layer named m"),
        ({"sums": "measured"}, "without calibration"),
        ({"objective": "speed"}, "objective 'speed'"),
        ({"calibration": np.zeros((3, 2, 61), bool)}, r"\[T, N, 60\]"),
        ({"calibration": np.zeros((0, 2, 60), bool)}, "T = 0 steps"),
        ({"calibration": np.full((3, 2, 60), np.nan)}, "not finite"),
        ({"calibration": np.full((3, 2, 60), "spike")}, "calibration of input: type"),
        ({"calibration": {"other": np.zeros((3, 2, 60), bool)}}, "calibration: arrays for other"),
        ({"scales": {"n": 0.0}}, "a scale of 0"),
        ({"scales": {"n": np.nan}}, "a scale of nan"),
        ({"scales": {"n": 1e9}}, "at which a field would overflow"),
        ({"sums": "guessed"}, "proved or measured"),
        ({"wide": "n"}, r"such as \['n'\]"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        hardware.compile(_network(np.random.default_rng(0), 1.0), **options)


def test_resets_by_subtraction_are_approximated_only_when_asked():
    rng = np.random.default_rng(3)
    full = np.ones(20, np.float32)
    nodes = {
        "input": nir.Input({"input": np.array([30])}),
        "fc": nir.Linear(rng.normal(0.1, 0.4, (20, 30)).astype(np.float32)),
        "n": nir.IF(full * 1000, full, full * 0),
        "output": nir.Output({"output": np.array([20])}),
    }
    graph = nir.NIRGraph(nodes, [("input", "fc"), ("fc", "n"), ("n", "output")], type_check=False)
    network = hardware.load(graph, dt=DT, reset="subtract")
    spikes = rng.random((30, 8, 30)) < 0.3
    kept = hardware.compile(network, calibration=spikes)
    assert kept.layers[0].reset == "subtract"
    with pytest.raises(ChipLimitError, match=r'compile with reset="zero" \(an approximation\)'):
        hardware.compile(network, chip="loihi1")
    with pytest.raises(UnsupportedError, match="which approximates it"):
        hardware.run_lava(kept, spikes)
    asked = hardware.compile(network, chip="loihi1", calibration=spikes, reset="zero")
    assert asked.layers[0].reset == "zero"
    assert asked.metadata["reset_approximated"]
    assert asked.metadata["layers"]["n"]["mismatch"] == pytest.approx(_mismatch(asked, spikes, network), abs=1e-3)
    assert asked.metadata["layers"]["n"]["mismatch"] > 10 * kept.metadata["layers"]["n"]["mismatch"]
    with pytest.raises(InputError, match="trained or zero"):
        hardware.compile(network, reset="soft")


def test_a_layer_that_would_hear_nothing_is_refused():
    network = _network(np.random.default_rng(0), 0.4)
    with pytest.raises(ChipLimitError, match="round to 0 at the largest scale that fits"):
        hardware.compile(network, graded={"input": hardware.Graded(bits=24)})
