"""The whole compiler on small networks, against a naive float run."""

import nir
import numpy as np
import pytest

from filopodia import hardware
from filopodia.errors import ChipLimitError, InputError
from filopodia.hardware.compiler.resources import Tile, synapses
from filopodia.hardware.program import Conv, Dense, Sparse


def _if(shape, threshold=1.0):
    full = np.full(shape, threshold, np.float32)
    return nir.IF(r=np.full(shape, 1e3, np.float32), v_threshold=full, v_reset=np.zeros_like(full))


def _lif(shape, threshold=1.0, steps=2.0):
    full = np.full(shape, threshold, np.float32)
    zero = np.zeros_like(full)
    return nir.LIF(np.full(shape, steps * 1e-3, np.float32), np.ones_like(full), zero, full, zero)


def _digits_net(rng, make_network, neuron=_lif):
    kernel1 = rng.normal(0, 0.5, (6, 1, 3, 3)).astype(np.float32)
    kernel2 = rng.normal(0, 0.4, (8, 6, 3, 3)).astype(np.float32)
    weight = rng.normal(0, 0.35, (10, 8 * 2 * 2)).astype(np.float32) * (rng.random((10, 32)) < 0.4)
    return make_network(
        {
            "conv1": nir.Conv2d((8, 8), kernel1, (1, 1), (1, 1), (1, 1), 1, rng.normal(0.2, 0.1, 6).astype(np.float32)),
            "n1": neuron((6, 8, 8), 0.5),
            "pool1": nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
            "conv2": nir.Conv2d((4, 4), kernel2, (1, 1), (1, 1), (1, 1), 1, rng.normal(0.1, 0.1, 8).astype(np.float32)),
            "n2": neuron((8, 4, 4), 0.3),
            "pool2": nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
            "flatten": nir.Flatten({"input": np.array([8, 2, 2])}, 0, -1),
            "fc": nir.Affine(weight.astype(np.float32), rng.normal(0.1, 0.1, 10).astype(np.float32)),
            "n3": neuron((10,), 0.1),
        },
        (1, 8, 8),
        metadata={"readout": {"classes": 10, "votes": 1}},
    )


@pytest.mark.parametrize("neuron", [_if, _lif])
def test_a_small_cnn_spikes_as_in_floats(make_network, run_floats, neuron):
    rng = np.random.default_rng(0)
    network = _digits_net(rng, make_network, neuron)
    spikes = rng.random((12, 3, 1, 8, 8)) < 0.4
    floats = run_floats(network, spikes)
    program = hardware.compile(network)
    activity = hardware.simulate(program, spikes)
    assert [layer.latency for layer in program.layers] == [1, 2, 3]
    assert program.metadata["readout"] == {"classes": 10, "votes": 1}
    for name, expected in floats.items():
        assert 0.05 < expected.mean() < 0.9
        assert np.mean(activity.spikes[name] != expected) < 0.03, name


def test_convolutions_stay_shared_and_pooling_is_folded_in(make_network):
    program = hardware.compile(_digits_net(np.random.default_rng(0), make_network))
    conv1, conv2, fc = (c.synapses for c in program.connections)
    assert isinstance(conv1, Conv)
    assert conv1.weight.shape == (6, 1, 3, 3)
    assert isinstance(conv2, Conv)
    assert conv2.weight.shape == (8, 6, 6, 6)
    assert conv2.stride == (2, 2)
    assert conv2.padding == (2, 2)
    assert isinstance(fc, Sparse)
    assert fc.shape == (10, 8 * 4 * 4)


def test_an_integer_network_comes_out_as_it_went_in(make_network, run_floats):
    rng = np.random.default_rng(1)
    weight = 2.0 * rng.integers(-127, 128, (20, 30))
    bias = rng.integers(-50, 50, 20).astype(float)
    nodes = {"fc": nir.Affine(weight, bias), "n": nir.IF(np.full(20, 1e3), np.full(20, 300.0), np.zeros(20))}
    network = make_network(nodes, (30,))
    program = hardware.compile(network)
    scale = program.metadata["layers"]["n"]["scale"]
    synapses = program.connections[0].synapses
    assert isinstance(synapses, Dense)
    np.testing.assert_allclose(synapses.weight * 2.0 ** program.connections[0].weight_exp, weight * scale)
    spikes = rng.random((20, 4, 30)) < 0.3
    np.testing.assert_array_equal(hardware.simulate(program, spikes).spikes["n"], run_floats(network, spikes)["n"])


@pytest.mark.parametrize("trained_at_or_above", [True, False])
def test_the_trained_comparison_survives_exact_ties(make_network, trained_at_or_above):
    threshold = np.float32(1.0)
    if trained_at_or_above:
        threshold = np.nextafter(threshold, np.float32(-np.inf))
    weight = np.array([[0.25, 0.5]], np.float32)
    full = np.full(1, threshold)
    nodes = {"fc": nir.Linear(weight), "n": nir.IF(np.full(1, 1e3), full, np.zeros(1))}
    program = hardware.compile(make_network(nodes, (2,)))
    spikes = np.array([[[0, 1]], [[0, 1]], [[1, 0]]], bool)  # v = 0.5, 1.0, ...
    fired = hardware.simulate(program, spikes).spikes["n"][:, 0, 0]
    assert fired.tolist() == ([False, True, False] if trained_at_or_above else [False, False, True])


def test_a_nonzero_reset_value_is_measured_from_there(make_network, run_floats):
    rng = np.random.default_rng(2)
    nodes = {
        "fc": nir.Linear(rng.normal(0.3, 0.3, (8, 12))),
        "n": nir.LIF(np.full(8, 4e-3), np.ones(8), np.full(8, -0.2), np.full(8, 0.3), np.full(8, -0.2)),
    }
    network = make_network(nodes, (12,))
    spikes = rng.random((30, 2, 12)) < 0.4
    shifted = make_network(
        {
            "fc": nodes["fc"],
            "n": nir.LIF(np.full(8, 4e-3), np.ones(8), np.zeros(8), np.full(8, 0.5), np.zeros(8)),
        },
        (12,),
    )
    found = hardware.simulate(hardware.compile(network), spikes).spikes["n"]
    assert np.mean(found != run_floats(shifted, spikes)["n"]) < 0.02


def test_residual_paths_meet_by_delay(make_network, run_floats):
    rng = np.random.default_rng(3)
    nodes = {
        "a": nir.Linear(rng.normal(0.3, 0.5, (6, 6))),
        "n1": _if((6,)),
        "b": nir.Linear(rng.normal(0.3, 0.5, (6, 6))),
        "n2": _if((6,)),
        "c": nir.Linear(rng.normal(0.3, 0.5, (6, 6))),
        "n3": _if((6,)),
    }
    edges = [("input", "a"), ("a", "n1"), ("n1", "b"), ("b", "n2"), ("n2", "c"), ("n1", "c"), ("c", "n3"), ("n3", "output")]
    network = make_network(nodes, (6,), edges)
    program = hardware.compile(network)
    assert {c.name: c.delay for c in program.connections} == {"input->n1": 0, "n1->n2": 0, "n2->n3": 0, "n1->n3": 1}
    assert all(program.lag(c) == 0 for c in program.connections)
    spikes = rng.random((20, 3, 6)) < 0.4
    assert np.mean(hardware.simulate(program, spikes).spikes["n3"] != run_floats(network, spikes)["n3"]) < 0.05


def test_every_broken_rule_is_reported_at_once(make_network):
    weight = np.ones((2, 5000), np.float32)
    nodes = {
        "fc": nir.Linear(weight),
        "n1": _if((2,), 10.0),
        "wide": nir.Linear(np.ones((5000, 2), np.float32)),
        "n2": _if((5000,)),
        "back": nir.Linear(weight),
        "n3": _if((2,), 10.0),
    }
    with pytest.raises(ChipLimitError) as caught:
        hardware.compile(make_network(nodes, (5000,)), chip="loihi1")
    broken = {(v.rule, v.layer, v.value) for v in caught.value.violations}
    assert broken == {("in_axons of one neuron", "n1", "5000"), ("in_axons of one neuron", "n3", "5000")}
    assert "4096 per core" in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused_by_name(make_network, value):
    weight = np.ones((3, 4), np.float32)
    weight[1, 2] = value
    with pytest.raises(InputError, match=r"input -> n: 1 weights that are not finite"):
        hardware.compile(make_network({"fc": nir.Linear(weight), "n": _if((3,))}, (4,)))


def test_a_network_trained_on_the_integer_grid_is_deployed_as_it_was_trained(make_network):
    """Weights, biases and threshold on the grid of a scale that the file names: nothing is rounded any more."""
    rng = np.random.default_rng(5)
    scale = 601.0  # of the voltage; the leak halves what comes in
    whole = 2 * rng.integers(-127, 128, (30, 40)) * (rng.random((30, 40)) < 0.3)
    bias = rng.integers(-1500, 1500, 30) / 16
    weight, offset = (whole / scale * 2).astype(np.float32), (bias / scale * 2).astype(np.float32)
    network = make_network(
        {"fc": nir.Affine(weight, offset), "n": _lif((30,), 1.0)}, (40,), metadata={"scales": {"n": scale}}, comparison=">="
    )
    program = hardware.compile(network)
    synapses = program.connections[0].synapses
    assert isinstance(synapses, Sparse)
    dense = np.zeros(whole.shape, int)
    dense[np.repeat(np.arange(30), np.diff(synapses.indptr)), synapses.indices] = synapses.data
    np.testing.assert_array_equal(dense, whole)
    layer = program.layers[0]
    assert int(layer.vth) == 601
    np.testing.assert_array_equal(layer.bias * 2.0 ** (layer.bias_exp - 6), bias)
    spikes = rng.random((60, 20, 40)) < 0.3
    expected = hardware.simulate(network, spikes).spikes["n"]
    found = hardware.simulate(program, spikes).spikes["n"]
    assert expected.mean() > 0.02
    assert np.mean(found != expected) < 2e-4


def test_a_scale_in_the_file_that_no_field_can_hold_is_refused(make_network):
    """Lowered in silence, it would no longer be what was trained."""
    weight = np.full((3, 4), 0.5, np.float32)
    network = make_network({"fc": nir.Linear(weight), "n": _if((3,))}, (4,), metadata={"scales": {"n": 1e6}})
    with pytest.raises(InputError, match=r"n: the scale in the network's metadata[\s\S]*allowed: up to [\s\S]*fix:") as caught:
        hardware.compile(network)
    fits = float(caught.value.allowed.removeprefix("up to "))
    assert hardware.compile(network, scales={"n": fits}).metadata["layers"]["n"]["scale"] == pytest.approx(fits)


def test_a_small_image_is_a_matrix_where_the_chip_shares_no_weights(make_network):
    """Every pixel hears nearly every pixel: a full list without indices is smaller, unless one kernel is kept for all."""
    rng = np.random.default_rng(6)
    kernel = rng.normal(0.1, 0.4, (4, 3, 3, 3)).astype(np.float32)

    def programs(side):
        conv = nir.Conv2d((side, side), kernel, (1, 1), (1, 1), (1, 1), 1, np.zeros(4, np.float32))
        network = make_network({"conv": conv, "n": _if((4, side, side))}, (3, side, side))
        return [hardware.compile(network, chip=chip) for chip in ("loihi1", "loihi2")]

    def kinds(side):
        return [type(program.connections[0].synapses) for program in programs(side)]

    assert kinds(2) == [Dense, Conv]
    assert kinds(12) == [Conv, Conv]
    dense, conv = programs(2)
    spikes = rng.random((20, 4, 3, 2, 2)) < 0.4
    runs = [hardware.simulate(program, spikes, record=("spikes", "v")) for program in (dense, conv)]
    np.testing.assert_array_equal(runs[0].states["v"]["n"], runs[1].states["v"]["n"])
    assert runs[0].spikes["n"].any()
    whole = Tile("n", (0, 4), (0, 2), (0, 2))
    bits = [synapses(program, program.connections[0], whole, shared_conv=False)[0] for program in (dense, conv)]
    assert bits[0] < bits[1]
