"""What a person sees who prints a network, a program, an activity or an estimate: a screen, not the arrays."""

import nir
import numpy as np
import pytest

from filopodia import hardware


@pytest.fixture
def network(tmp_path):
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 0.5, (3, 40)).astype(np.float32)
    weight[:, ::2] = 0
    nodes = {
        "input": nir.Input({"input": np.array([40])}),
        "fc": nir.Linear(weight=weight),
        "lif": nir.LIF(tau=np.full(3, 2e-3), r=np.ones(3), v_leak=np.zeros(3), v_threshold=np.ones(3)),
        "output": nir.Output({"output": np.array([3])}),
    }
    nir.write(tmp_path / "net.nir", nir.NIRGraph(nodes, [("input", "fc"), ("fc", "lif"), ("lif", "output")]))
    return hardware.load(tmp_path / "net.nir", dt=1e-3)


def test_each_prints_on_one_screen_of_80_columns(network):
    spikes = np.random.default_rng(1).random((6, 4, 40)) < 0.3
    program = hardware.compile(network, chip="loihi2", calibration=spikes)
    activity = hardware.simulate(program, spikes)
    estimate = hardware.estimate(activity, program)
    for shown in map(repr, (network, program, activity, estimate)):
        assert len(shown.splitlines()) < 25
        assert max(map(len, shown.splitlines()[:-1])) <= 80
        assert "array(" not in shown
    nonzero = np.count_nonzero(program.connections[0].synapses.data)
    assert "60 of 120" in repr(network)
    assert f" {nonzero} " in repr(program)
    assert "on 1 cores of loihi2" in repr(program)
    assert f"{activity.counts['lif'].synops.sum() / 4:,.1f}" in repr(activity)
    assert f"{estimate.total.nominal:.3g} J" in repr(estimate)


def test_what_is_left_out_of_a_total_is_said(network):
    spikes = np.ones((2, 1, 40), bool)
    program = hardware.compile(network, chip="loihi2", calibration=spikes)
    estimate = hardware.estimate(hardware.simulate(program, spikes), program)
    for missing in (*estimate.unpriced, *estimate.uncounted):
        assert missing in repr(estimate)


def test_parts_show_their_arrays_as_type_and_shape(network):
    layer = hardware.compile(network, chip="loihi2", calibration=np.ones((2, 1, 40), bool)).layers[0]
    assert "\n" not in repr(layer)
    bias = hardware.Layer("a", (2, 3), *(np.zeros((), np.int32),) * 3, np.zeros((2, 3), np.int32))
    assert repr(bias) == (
        "Layer(name='a', shape=(2, 3), du=0, dv=0, vth=0, bias=int32[2, 3], bias_exp=6, reset='zero', latency=1)"
    )
