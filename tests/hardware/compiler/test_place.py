"""Placement: every neuron on one core, no limit broken, memory as counted by hand."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filopodia.hardware.chip import load_chip
from filopodia.hardware.compiler.place import place, position
from filopodia.hardware.compiler.resources import Tile, axon_bits, conv_fan, usage
from filopodia.hardware.program import Connection, Conv, Dense, Input, Layer, Program, Sparse


def _layer(name, shape):
    return Layer(name, shape, *(np.asarray(x, np.int32) for x in (4095, 0, 10, 0)))


def _dense(n_source, n_target):
    return Program(
        (Input("input", (n_source,)),),
        (_layer("a", (n_target,)),),
        (Connection("input", "a", Dense(np.full((n_target, n_source), 2, np.int16))),),
        ("a",),
    )


def test_memory_of_dense_layers_is_that_of_nengo_loihi():
    assert axon_bits(np.full(784, 128), 8) == 903168
    placed = place(_dense(784, 512), load_chip("loihi1"))
    assert [core.used["synapse_bits"] for core in placed.cores] == [903168] * 4
    assert len(place(_dense(1024, 1024), load_chip("loihi1")).cores) == 9


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_the_fan_of_a_convolution_is_that_of_its_matrix(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**20)))
    groups, ins, outs = (data.draw(st.integers(1, 3)) for _ in range(3))
    weight = rng.integers(-1, 2, (groups * outs, ins, data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3)))).astype(
        np.int16
    )
    stride, dilation = (data.draw(st.tuples(st.integers(1, 3), st.integers(1, 2))) for _ in range(2))
    padding = data.draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    from filopodia.hardware.compiler import maps

    source = (groups * ins, 6, 5)
    target = maps.conv_target(source, weight, stride, padding, dilation)
    program = Program(
        (Input("input", source),),
        (_layer("a", target),),
        (Connection("input", "a", Conv(weight, stride, padding, dilation, groups)),),
        ("a",),
    )
    ranges = [sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in target]
    tile = Tile("a", *(tuple(r) for r in ranges))
    whole = maps.matrix(maps.ConvMap(weight, stride, padding, dilation, groups, source, target), 0).toarray()
    expected = np.count_nonzero(whole[tile.neurons(target)], axis=0)
    np.testing.assert_array_equal(conv_fan(program, program.connections[0], tile).reshape(-1), expected)


@pytest.mark.parametrize("chip", ["loihi1", "loihi2"])
def test_every_neuron_sits_on_one_core_and_no_limit_is_broken(chip):
    rng = np.random.default_rng(0)
    conv1 = Conv((rng.integers(-20, 20, (32, 2, 3, 3)) * 2).astype(np.int16), padding=(1, 1))
    conv2 = Conv((rng.integers(-20, 20, (64, 32, 3, 3)) * 2).astype(np.int16), stride=(2, 2), padding=(1, 1))
    kept = rng.random((100, 64 * 256)) < 0.1
    rows, columns = np.nonzero(kept)
    indptr = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
    sparse = Sparse(kept.shape, indptr, columns.astype(np.int32), np.full(len(rows), 2, np.int16))
    program = Program(
        (Input("input", (2, 32, 32)),),
        (_layer("a", (32, 32, 32)), _layer("b", (64, 16, 16)), _layer("c", (100,))),
        (Connection("input", "a", conv1), Connection("a", "b", conv2), Connection("b", "c", sparse)),
        ("c",),
    )
    chip = load_chip(chip)
    placed = place(program, chip)
    assert not placed.violations
    for layer in program.layers:
        placed_neurons = np.concatenate([core.neurons[layer.name] for core in placed.cores if layer.name in core.neurons])
        np.testing.assert_array_equal(np.sort(placed_neurons), np.arange(layer.size))
    for core in placed.cores:
        for name, used in core.used.items():
            assert name not in chip.limits or used <= chip.limits[name].value
        assert core.used["neurons"] == sum(len(n) for n in core.neurons.values())


def test_a_layer_of_whole_channels_is_counted_as_dense_is():
    program = _dense(10, 4)
    assert usage(program, Tile("a", (0, 2), (0, 1), (0, 1)), shared_conv=True) == {
        "neurons": 2,
        "synapse_bits": 10 * 64,
        "in_axons": 10,
    }


def test_cores_fill_routers_then_rows_then_chips():
    chip = load_chip("loihi2")
    places = [position(chip, index) for index in range(256)]
    assert len(set(places)) == 256
    assert places[0] == (0, (0, 0, 0))
    assert places[128] == (1, (0, 0, 0))
    assert all(abs(a[1][0] - b[1][0]) + abs(a[1][1] - b[1][1]) <= 1 for a, b in pairwise(places[:128]))
