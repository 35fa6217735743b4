"""Every node and topology: networks of whole numbers, in which the compiled program must spike exactly as the network does."""

from itertools import pairwise

import nir
import numpy as np
import pytest

from filopodia import hardware
from filopodia.errors import InputError, UnsupportedError
from filopodia.hardware.compiler.analog import Graded, analog_messages
from filopodia.hardware.network import simulate_network

DT = 1e-3


def _if(shape, threshold):
    full = np.full(shape, threshold, np.float32)
    return nir.IF(r=np.full(shape, 1 / DT, np.float32), v_threshold=full, v_reset=np.zeros_like(full))


def _whole(rng, *shape, most=9, zeros=0.5):
    return (rng.integers(-most + 2, most + 1, shape) * (rng.random(shape) > zeros)).astype(np.float32)


def _load(nodes, shape, edges=None, **semantics):
    every = {
        "input": nir.Input({"input": np.array(shape)}),
        **nodes,
        "output": nir.Output({"output": np.array([1])}),
    }
    names = list(every)
    edges = edges or list(pairwise(names))
    return hardware.load(nir.NIRGraph(every, edges, type_check=False), **({"dt": DT} | semantics))


def _same_spikes(network, spikes, **options):
    program = hardware.compile(network, **options)
    expected = simulate_network(network, spikes, dtype=np.float64)
    found = hardware.simulate(program, spikes)
    layers = [layer.name for layer in program.layers if layer.name in expected.spikes]
    for name in layers:
        assert 0 < expected.spikes[name].mean() < 1, name
        np.testing.assert_array_equal(found.spikes[name], expected.spikes[name].reshape(found.spikes[name].shape), err_msg=name)
    return program


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("comparison", [">", ">="])
@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_a_chain_in_both_comparisons_and_resets(rng, comparison, reset):
    nodes = {
        "conv": nir.Conv2d((6, 6), _whole(rng, 4, 2, 3, 3), (1, 1), (1, 1), (1, 1), 1, _whole(rng, 4)),
        "n1": _if((4, 6, 6), 6.0),
        "pool": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "flatten": nir.Flatten({"input": np.array([4, 3, 3])}, 0, -1),
        "fc": nir.Affine(_whole(rng, 10, 36), _whole(rng, 10)),
        "n2": _if((10,), 8.0),
    }
    spikes = rng.random((15, 3, 2, 6, 6)) < 0.3
    program = _same_spikes(_load(nodes, (2, 6, 6), comparison=comparison, reset=reset), spikes)
    assert program.layers[0].reset == reset


def test_max_pooling_of_spikes_is_a_layer_of_or_neurons(rng):
    nodes = {
        "conv": nir.Conv2d((8, 8), _whole(rng, 3, 1, 3, 3), (1, 1), (1, 1), (1, 1), 1, np.zeros(3, np.float32)),
        "n1": _if((3, 8, 8), 9.0),
        "sum": nir.SumPool2d(np.array([3, 3]), np.array([2, 2]), np.array([1, 1])),
        "or": nir.Threshold(np.full((3, 4, 4), 0.5, np.float32)),
        "flatten": nir.Flatten({"input": np.array([3, 4, 4])}, 0, -1),
        "fc": nir.Linear(_whole(rng, 5, 48)),
        "n2": _if((5,), 12.0),
    }
    program = _same_spikes(_load(nodes, (1, 8, 8)), rng.random((20, 2, 1, 8, 8)) < 0.2)
    assert program.layers[1].name == "or"


def test_thresholds_without_memory_stay_exact_on_the_chip(rng):
    nodes = {
        "fc": nir.Affine(_whole(rng, 9, 30, most=100), _whole(rng, 9, most=50)),
        "z": nir.Threshold(np.full(9, 20, np.float32)),
    }
    program = _same_spikes(_load(nodes, (30,)), rng.random((40, 4, 30)) < 0.4)
    assert int(program.layers[0].dv) == 4095


def test_residual_addition_and_concatenation(rng):
    fc = {name: nir.Linear(_whole(rng, 8, 8)) for name in "abcd"}
    nodes = {
        "a": fc["a"],
        "n1": _if((8,), 6.0),
        "b": fc["b"],
        "n2": _if((8,), 6.0),
        "c": fc["c"],
        "n3": _if((8,), 6.0),
        "d": fc["d"],
        "n4": _if((8,), 6.0),
    }
    chain = ["input", *nodes, "output"]
    edges = [*pairwise(chain), ("n1", "d"), ("n2", "d"), ("input", "n3"), ("n1", "n4")]
    program = _same_spikes(_load(nodes, (8,), edges), rng.random((30, 3, 8)) < 0.3)
    delays = {c.name: c.delay for c in program.connections}
    assert delays["input->n3"] == 2
    assert delays["n1->n4"] == 2
    assert delays["n2->n4"] == 1


@pytest.mark.parametrize("at_start", [True, False])
def test_a_recurrent_layer_with_bias(rng, at_start):
    nodes = {
        "fc": nir.Linear(_whole(rng, 10, 6)),
        "n": _if((10,), 7.0),
        "back": nir.Affine(_whole(rng, 10, 10), _whole(rng, 10, most=4)),
    }
    edges = [("input", "fc"), ("fc", "n"), ("n", "back"), ("back", "n"), ("n", "output")]
    network = _load(nodes, (6,), edges, recurrent_input_at_start=at_start)
    program = _same_spikes(network, rng.random((40, 3, 6)) < 0.3)
    assert all(program.lag(c) == (c.source == "n" or (c.source == "always_on")) for c in program.connections)


def test_delays_of_a_node_and_different_ones_in_one_layer(rng):
    nodes = {
        "fc": nir.Linear(_whole(rng, 6, 5)),
        "n1": _if((6,), 5.0),
        "delay": nir.Delay(np.array([0, 1, 1, 3, 5, 5], np.float32) * np.float32(DT)),
        "fc2": nir.Linear(_whole(rng, 4, 6)),
        "n2": _if((4,), 6.0),
    }
    program = _same_spikes(_load(nodes, (5,)), rng.random((30, 3, 5)) < 0.4)
    assert sorted(program.lag(c) for c in program.connections) == [0, 0, 1, 3, 5]


@pytest.mark.parametrize(("steps", "relays"), [(63, 0), (64, 1), (130, 2)])
def test_long_delays_go_through_relay_neurons(rng, steps, relays):
    nodes = {
        "fc": nir.Linear(_whole(rng, 6, 5)),
        "n1": _if((6,), 5.0),
        "delay": nir.Delay(np.full(6, steps * DT, np.float32)),
        "fc2": nir.Linear(_whole(rng, 4, 6)),
        "n2": _if((4,), 6.0),
    }
    program = _same_spikes(_load(nodes, (5,)), rng.random((150, 2, 5)) < 0.4)
    assert all(c.delay <= 62 for c in program.connections)
    assert sum("relay" in layer.name for layer in program.layers) == relays


def test_a_loop_through_two_layers_needs_a_delay(rng):
    nodes = {
        "fc": nir.Linear(_whole(rng, 4, 4)),
        "n1": _if((4,), 4.0),
        "fc2": nir.Linear(_whole(rng, 4, 4)),
        "n2": _if((4,), 4.0),
        "back": nir.Linear(_whole(rng, 4, 4)),
    }
    edges = [("input", "fc"), ("fc", "n1"), ("n1", "fc2"), ("fc2", "n2"), ("n2", "back"), ("back", "n1"), ("n2", "output")]
    with pytest.raises(UnsupportedError, match="each connection takes one step"):
        hardware.compile(_load(nodes, (4,), edges))
    nodes["late"] = nir.Delay(np.full(4, 2 * DT, np.float32))
    edges = [edge for edge in edges if edge != ("back", "n1")] + [("back", "late"), ("late", "n1")]
    _same_spikes(_load(nodes, (4,), edges), rng.random((40, 3, 4)) < 0.4)


def test_scale_nodes_and_affine_over_the_last_axis(rng):
    nodes = {
        "scale": nir.Scale(np.array([[1, 2, 1], [3, 1, 2]], np.float32)),
        "fc": nir.Affine(_whole(rng, 4, 3), np.tile(_whole(rng, 4), (2, 1))),
        "n": _if((2, 4), 6.0),
    }
    _same_spikes(_load(nodes, (2, 3)), rng.random((30, 3, 2, 3)) < 0.4)


@pytest.mark.parametrize(("kernel", "padding"), [(3, 1), (4, "same"), (2, "same"), (3, "valid")])
def test_one_dimensional_convolutions(rng, kernel, padding):
    length = 10 if padding != "valid" else 8
    nodes = {
        "conv": nir.Conv1d(10, _whole(rng, 4, 2, kernel), 1, padding, 1, 1, _whole(rng, 4)),
        "n": _if((4, length), 5.0),
    }
    _same_spikes(_load(nodes, (2, 10)), rng.random((20, 3, 2, 10)) < 0.4)


def test_even_kernels_padded_to_the_same_size(rng):
    nodes = {
        "conv": nir.Conv2d((7, 6), _whole(rng, 4, 2, 4, 3), (1, 1), "same", (1, 2), 1, _whole(rng, 4)),
        "n": _if((4, 7, 6), 5.0),
    }
    _same_spikes(_load(nodes, (2, 7, 6)), rng.random((20, 3, 2, 7, 6)) < 0.4)


def test_two_inputs_and_two_outputs(rng):
    nodes = {
        "left": nir.Input({"input": np.array([4])}),
        "right": nir.Input({"input": np.array([5])}),
        "a": nir.Linear(_whole(rng, 6, 4)),
        "b": nir.Linear(_whole(rng, 6, 5)),
        "n1": _if((6,), 5.0),
        "c": nir.Linear(_whole(rng, 3, 6)),
        "n2": _if((3,), 5.0),
        "out1": nir.Output({"output": np.array([6])}),
        "out2": nir.Output({"output": np.array([3])}),
    }
    edges = [("left", "a"), ("right", "b"), ("a", "n1"), ("b", "n1"), ("n1", "c"), ("c", "n2"), ("n1", "out1"), ("n2", "out2")]
    network = hardware.load(nir.NIRGraph(nodes, edges, type_check=False), dt=DT)
    spikes = {"left": rng.random((20, 3, 4)) < 0.4, "right": rng.random((20, 3, 5)) < 0.4}
    program = _same_spikes(network, spikes)
    assert set(program.outputs) == {"n1", "n2"}
    assert program.metadata["outputs"] == {"out1": "n1", "out2": "n2"}


@pytest.mark.parametrize("kind", ["linear", "I", "LI", "CubaLI"])
def test_read_outs_without_spikes_show_the_voltage(rng, kind):
    nodes = {"fc": nir.Linear(rng.normal(0, 1, (8, 6)).astype(np.float32)), "n": _if((8,), 1.0)}
    nodes["last"] = nir.Affine(rng.normal(0, 1, (3, 8)).astype(np.float32), rng.normal(0, 0.2, 3).astype(np.float32))
    full = np.ones(3, np.float32)
    zero = np.zeros(3, np.float32)
    if kind == "I":
        nodes["read"] = nir.I(full / np.float32(DT))
    elif kind == "LI":
        nodes["read"] = nir.LI(full * np.float32(5e-3), full, zero)
    elif kind == "CubaLI":
        nodes["read"] = nir.CubaLI(full * np.float32(4e-3), full * np.float32(8e-3), full, zero)
    network = _load(nodes, (6,))
    spikes = rng.random((30, 4, 6)) < 0.4
    expected = simulate_network(network, spikes, dtype=np.float64, record=("spikes", "v"))
    program = hardware.compile(network, calibration=spikes)
    (name,) = program.outputs
    found = hardware.simulate(program, spikes, record=("spikes", "v"))
    assert not found.spikes[name].any()
    assert program.metadata["voltage_outputs"] == [name]
    voltage = found.states["v"][name] / 64 / program.metadata["layers"][name]["scale"]
    wanted = np.cumsum(expected.spikes["output"], axis=0) if kind == "linear" else expected.states["v"]["read"]
    assert np.abs(voltage - wanted).max() < 0.03 * np.abs(wanted).max()


def test_current_based_neurons_with_bias(rng):
    full = np.ones(12, np.float32)
    zero = np.zeros(12, np.float32)
    nodes = {
        "fc": nir.Affine(rng.normal(0.2, 0.6, (12, 10)).astype(np.float32), rng.normal(0.2, 0.2, 12).astype(np.float32)),
        "n": nir.CubaLIF(full * np.float32(5e-3), full * np.float32(1e-2), full, zero, full * np.float32(0.3), zero, full),
    }
    network = _load(nodes, (10,))
    spikes = rng.random((60, 4, 10)) < 0.3
    expected = simulate_network(network, spikes, dtype=np.float64).spikes["n"]
    program = hardware.compile(network)
    assert [layer.name for layer in program.layers] == ["always_on", "n"]
    found = hardware.simulate(program, spikes).spikes["n"]
    assert 0.02 < expected.mean() < 0.6
    assert np.mean(found != expected) < 0.04
    wide = hardware.compile(network, wide=["n"])
    assert len(wide.connections) == 2 * len(program.connections)
    assert wide.metadata["layers"]["n"]["weight_error"] < program.metadata["layers"]["n"]["weight_error"] / 16
    assert np.mean(hardware.simulate(wide, spikes).spikes["n"] != expected) < 0.004


def test_analog_input_as_graded_messages(rng):
    nodes = {"fc": nir.Linear(rng.normal(0, 0.5, (12, 10)).astype(np.float32)), "n": _if((12,), 1.0)}
    network = _load(nodes, (10,))
    values = rng.normal(0.2, 0.5, (30, 4, 10)).clip(-1, 1).astype(np.float32)
    with pytest.raises(InputError, match="other than 0 and 1"):
        hardware.compile(network, calibration=values)
    graded = {"input": Graded(bits=6, largest=1.0)}
    program = hardware.compile(network, calibration=values, graded=graded, sums="measured")
    expected = simulate_network(network, values, dtype=np.float64).spikes["n"]
    found = hardware.simulate(program, analog_messages(program, values)).spikes["n"]
    assert 0.05 < expected.mean() < 0.6
    assert np.mean(found != expected) < 0.02
    with pytest.raises(InputError, match=r"value of size 3"):
        analog_messages(program, values * 0 + 3)


def test_graded_messages_do_not_go_through_relays(rng):
    nodes = {
        "delay": nir.Delay(np.full(5, 70 * DT, np.float32)),
        "fc": nir.Linear(_whole(rng, 4, 5)),
        "n": _if((4,), 6.0),
    }
    assert len(hardware.compile(_load(nodes, (5,))).layers) == 2
    with pytest.raises(UnsupportedError, match="relay neurons repeat spikes only"):
        hardware.compile(_load(nodes, (5,)), graded={"input": Graded(bits=4)})


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (nir.LIF(*(np.full(3, x) for x in (5e-3, 1.0, 0.1, 1.0, 0.0))), "start at 0.1 with v_reset = 0"),
        (nir.IF(np.full(3, 1e3), np.full(3, -1.0), np.zeros(3)), "threshold 1 below"),
    ],
)
def test_neurons_that_loihi_cannot_follow_are_refused_by_name(rng, node, message):
    with pytest.raises(UnsupportedError, match=f"bad: .*{message}"):
        hardware.compile(_load({"fc": nir.Linear(_whole(rng, 3, 4)), "bad": node}, (4,)))


def test_voltages_do_not_travel(rng):
    nodes = {
        "fc": nir.Linear(_whole(rng, 3, 4)),
        "i": nir.I(np.full(3, 1e3)),
        "fc2": nir.Linear(_whole(rng, 2, 3)),
        "n": _if((2,), 3.0),
    }
    with pytest.raises(UnsupportedError, match="reads the voltage of i"):
        hardware.compile(_load(nodes, (4,)))
