"""Quantisation: what the integers keep of the floats, whatever the floats are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from filopodia.hardware.compiler.lower import Projection
from filopodia.hardware.compiler.maps import ConvMap, MatrixMap
from filopodia.hardware.compiler.neurons import Population
from filopodia.hardware.compiler.quantize import Choice, Frame, integers, quantize
from filopodia.hardware.compiler.scale import SUM_LIMIT, WEIGHT_LIMIT
from filopodia.hardware.layer_fields import VTH_LIMIT


def _neurons(n, threshold=1.0, keep_v=1.0, bias=0.0, comparison=">"):
    arrays = (np.asarray(x, float) for x in (0.0, keep_v, 1.0, bias, threshold))
    return Population("n", (n,), *arrays, comparison=comparison)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_integers_are_in_range_and_near_the_floats(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**20)))
    n, m = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 300))
    size = 10.0 ** data.draw(st.integers(-4, 3))
    weight = (rng.normal(0, size, (n, m)) * (rng.random((n, m)) < data.draw(st.sampled_from([0.05, 0.5, 1.0])))).astype(
        np.float32
    )
    if data.draw(st.booleans()):
        weight = np.abs(weight)
    map_ = MatrixMap(sparse.csr_array(weight) if data.draw(st.booleans()) else weight)
    second = MatrixMap(rng.normal(0, size * data.draw(st.sampled_from([0.01, 1, 30])), (n, 4)))
    neurons = _neurons(
        n,
        threshold=size * 10.0 ** data.draw(st.integers(-1, 2)),
        keep_v=data.draw(st.sampled_from([1.0, 0.5, 0.97])),
        bias=rng.normal(0, size, n) * data.draw(st.sampled_from([0, 1])),
    )
    incoming = [Projection("a", "n", map_), Projection("b", "n", second)]
    made = quantize(neurons, incoming, Frame({"a": 1, "b": 1}))
    scale, worst = made.report["scale"], np.zeros(n)
    for connection, floats in zip(made.connections, (weight, second.weight), strict=True):
        whole = connection.weight if isinstance(connection.weight, np.ndarray) else connection.weight.toarray()
        assert np.all(whole % 2 == 0)
        assert np.abs(whole).max(initial=0) <= WEIGHT_LIMIT
        assert 0 <= connection.exp <= 7
        assert np.all(whole[floats == 0] == 0)
        assert np.all(np.abs(whole * 2.0**connection.exp - floats * scale) <= 2.0**connection.exp * 1.001)
        worst += np.maximum(whole, 0).sum(axis=1) * 2.0**connection.exp
    assert worst.max(initial=0) <= SUM_LIMIT
    assert 0 <= made.layer.vth <= VTH_LIMIT
    assert np.abs(made.layer.vth - neurons.threshold * scale) <= 1.0
    bias = made.layer.bias * 2.0 ** (made.layer.bias_exp - 6)
    assert np.all(np.abs(bias - neurons.bias * scale) <= 2.0 ** (made.layer.bias_exp - 6))


@pytest.mark.parametrize(("comparison", "vth"), [(">", 40), (">=", 39)])
def test_an_integer_layer_is_met_exactly_at_the_scale_asked_for(comparison, vth):
    weight = 2.0 * np.arange(-100, 100, dtype=np.float32).reshape(10, 20)
    made = quantize(
        _neurons(10, threshold=40.0, comparison=comparison),
        [Projection("a", "n", MatrixMap(weight))],
        Frame({"a": 1}),
        Choice(1.0),
    )
    np.testing.assert_array_equal(integers(made.connections[0]), weight)
    assert made.connections[0].exp == 0
    assert int(made.layer.vth) == vth
    assert made.report["weight_error"] == 0


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_quantising_integers_is_the_identity(data):
    """Integer weights, bias, threshold and leak, in float32 and times any power of two, come back as they were."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**20)))
    n, m, scale = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 40)), 2.0 ** data.draw(st.integers(-6, 14))
    weight = 2 * rng.integers(-127, 128, (n, m)) * (rng.random((n, m)) < data.draw(st.sampled_from([0.1, 1.0])))
    bias = rng.integers(-4095, 4096, n) * data.draw(st.sampled_from([0, 1]))
    vth, dv = data.draw(st.integers(0, VTH_LIMIT)), data.draw(st.integers(0, 4095))
    tau = np.float32(4096 / dv * 1e-3) if dv else None  # as a NIR file stores it
    keep_v = 1 - 1 / (float(tau) / 1e-3) if tau else 1.0
    neurons = _neurons(n, threshold=np.float32(vth / scale), keep_v=keep_v, bias=(bias / scale).astype(np.float32))
    made = quantize(
        neurons,
        [Projection("a", "n", MatrixMap((weight / scale).astype(np.float32)))],
        Frame({"a": 1}),
        Choice(scale, decay="nearest"),
    )
    (connection,) = made.connections
    np.testing.assert_array_equal(integers(connection) * 2**connection.exp, weight)
    np.testing.assert_array_equal(np.broadcast_to(made.layer.bias, n) * 2.0 ** (made.layer.bias_exp - 6), bias)
    assert (int(made.layer.vth), int(made.layer.dv)) == (vth, dv)
    assert made.report["scale"] == scale
    assert made.report["weight_error"] == made.report["vanished"] == made.report["bias_error"] == 0


def test_a_lattice_of_any_unit_is_found_without_asking():
    rng = np.random.default_rng(0)
    weight = (rng.integers(-31, 32, (20, 3, 3, 3)) * 0.0137).astype(np.float32)
    map_ = ConvMap(weight, (1, 1), (1, 1), (1, 1), 1, (3, 8, 8), (20, 8, 8))
    made = quantize(_neurons(20 * 64, threshold=1.0), [Projection("a", "n", map_)], Frame({"a": 1}))
    assert made.report["weight_error"] < 1e-6
    assert np.abs(integers(made.connections[0])).max() > 127


def test_weights_that_vanish_are_counted():
    weight = np.array([[1.0, 1e-4, 0.0, -1e-5]])
    made = quantize(_neurons(1), [Projection("a", "n", MatrixMap(weight))], Frame({"a": 1}))
    assert made.report["vanished"] == 2
    assert made.report["weights"] == 3


def test_signed_messages_count_with_their_magnitude():
    weight = np.tile([[0.5, -0.5]], (1, 40))
    made = quantize(_neurons(1), [Projection("a", "n", MatrixMap(weight))], Frame({"a": 255}))
    assert np.abs(integers(made.connections[0])).sum() * 255 * 2 ** made.connections[0].exp <= SUM_LIMIT


@pytest.mark.parametrize("tau", [200.0, 1500.0, 6000.0])
def test_slow_leaks_lose_as_much_as_they_should(tau):
    keep = 1 - 1 / tau
    neurons = _neurons(1, threshold=1.0, keep_v=keep)
    made = quantize(neurons, [Projection("a", "n", MatrixMap(np.array([[0.4]])))], Frame({"a": 1}), Choice(301.0))
    v, steps = int(0.5 * 301 * 64), 100
    for _ in range(steps):
        v = (v * (4096 - int(made.layer.dv))) >> 12
    lost = 0.5 * 301 * 64 - v
    wanted = 0.5 * 301 * 64 * (1 - keep**steps)
    field = 0.5 * 301 * 64 * steps / 4096  # what one unit of the field loses
    assert abs(lost - wanted) <= 0.6 * field
