"""Fixed point in torch: the neuron and the grids against the integer simulator's reference, and their gradients."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikingjelly.activation_based import functional, surrogate
from torch import nn

from filopodia.hardware.program import Layer
from filopodia.hardware.simulator import reference
from filopodia.prune import FixedPoint, FixedPointNode
from filopodia.prune.attach import attach, detach
from filopodia.prune.fixed_point import FRACTION, VOLTAGE_LIMIT, IntegerGrid, decayed, straight_through


@given(st.lists(st.integers(-(2**24) + 1, 2**24 - 1), min_size=1, max_size=50), st.integers(0, 4096))
def test_a_leak_is_exact_in_float32(values: list[int], decay: int) -> None:
    expected = [(abs(v) * (4096 - decay) >> 12) * (1 if v >= 0 else -1) for v in values]
    assert decayed(torch.tensor(values, dtype=torch.float32), torch.tensor(decay)).tolist() == expected


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_the_neuron_computes_what_the_reference_of_the_simulator_computes(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    steps, samples, size = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 3)), data.draw(st.integers(1, 8))
    decay = data.draw(st.one_of(st.just(0), st.integers(1, 4095)))
    threshold = data.draw(st.one_of(st.integers(0, 2000), st.integers(0, 2**17 - 1)))
    reset = data.draw(st.sampled_from(["zero", "subtract"]))
    scale = 2.0 ** data.draw(st.integers(-4, 14))
    reach = data.draw(st.sampled_from([5, 300, 2**15]))
    arriving = rng.integers(-reach, reach, (steps, samples, size)).astype(np.int32)
    node = FixedPointNode(
        scale=scale,
        threshold=threshold,
        decay=decay,
        decay_input=False,
        v_reset=None if reset == "subtract" else 0.0,
        surrogate_function=surrogate.ATan(),
    )
    fields = {"du": 4095, "dv": decay, "vth": threshold, "bias": 0}
    layer = Layer("n", (size,), **{key: np.asarray(value, np.int32) for key, value in fields.items()}, reset=reset)
    u = v = np.zeros((samples, size), np.int32)
    for t in range(steps):
        u, v, expected = reference.update(layer, u, v, arriving[t])
        spikes = node(torch.from_numpy(arriving[t]).float() / scale)
        np.testing.assert_array_equal(spikes.numpy() > 0, expected)
        np.testing.assert_array_equal(node.v.numpy() * (scale * FRACTION), v)


def test_voltages_are_held_where_the_chip_holds_them() -> None:
    node = FixedPointNode(scale=1.0, threshold=2**17 - 1)
    for _ in range(10):
        node(torch.full((1, 1), -(2.0**15)))
    assert float(node.v) * FRACTION == -VOLTAGE_LIMIT


def test_the_input_of_a_leaky_neuron_counts_by_its_leak_unless_told_otherwise() -> None:
    for decay_input, v in ((True, 2.0), (False, 8.0)):
        node = FixedPointNode(scale=4.0, threshold=1000, decay=1024, decay_input=decay_input)
        node(torch.full((1, 1), 8.0))
        assert float(node.v) == v
    assert node.tau == 4.0


def test_sums_that_floats_have_rounded_are_whole_units_again() -> None:
    node = FixedPointNode(scale=1.0, threshold=3, decay=1365, decay_input=True)  # a third, and no float
    node(torch.tensor([[3 * 4096 / 4095 + 1e-6]]))
    assert float(node.v) == 1.0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_voltage_stays_in_float32_under_half_precision(dtype: torch.dtype) -> None:
    node = FixedPointNode(scale=64.0, threshold=2000, decay=1)
    for _ in range(3):
        spikes = node(torch.full((1, 1), 16.0, dtype=dtype))
    assert node.v.dtype == torch.float32
    assert spikes.dtype == torch.float32


def test_gradients_pass_as_if_nothing_were_rounded() -> None:
    value = torch.tensor([0.3, -1.7], requires_grad=True)
    straight_through(value, torch.tensor([7.0, 9.0])).backward(torch.tensor([2.0, 3.0]))
    assert value.grad is not None
    assert value.grad.tolist() == [2.0, 3.0]

    x = torch.full((3, 1, 1), 0.31, requires_grad=True)
    node = FixedPointNode(scale=32.0, threshold=1000, decay=2048, decay_input=False, step_mode="m")
    node(x)
    node.v.sum().backward()
    assert x.grad is not None
    assert x.grad.flatten().tolist() == [0.25, 0.5, 1.0]


@given(st.integers(2, 8), st.integers(0, 2**32))
def test_weights_of_fewer_bits_are_weights_of_eight(bits: int, seed: int) -> None:
    arithmetic = FixedPoint(bits)
    values = torch.from_numpy(np.random.default_rng(seed).normal(0, 3, 100)).float()
    grid = IntegerGrid(values, 64.0, arithmetic.weight_step, arithmetic.weight_limit)
    whole = grid(values) * 64.0
    assert bool((whole % arithmetic.weight_step == 0).all())
    assert bool((whole % 2 == 0).all())
    assert float(whole.abs().max()) <= arithmetic.weight_limit <= 254
    inside = values.abs() * 64.0 <= arithmetic.weight_limit
    assert bool(((whole - values * 64.0).abs()[inside] <= arithmetic.weight_step / 2).all())
    assert torch.equal(grid(grid(values)), grid(values))  # what is on the grid stays


def test_a_layer_on_its_grid_copies_pickles_and_trains() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(6, 4)
    with torch.no_grad():
        layer.weight[0] = 0.0
    for name, step in (("weight", 2), ("bias", 1)):
        grid = IntegerGrid(getattr(layer, name), 32.0, step, 254)
        if name == "weight":
            grid.mask.copy_(layer.weight != 0)
        attach(layer, name, grid)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin.weight, layer.weight)
        assert twin.parametrizations.weight.original is not layer.parametrizations.weight.original
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5, momentum=0.9, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        layer(torch.randn(5, 6)).square().sum().backward()
        optimizer.step()
    assert not layer.weight[0].any()
    for name in ("weight", "bias"):
        detach(layer, name)
    assert bool((layer.weight * 16 % 1 == 0).all())
    assert bool((layer.bias * 32 % 1 == 0).all())


def test_a_network_is_reset_like_any_other() -> None:
    net = nn.Sequential(FixedPointNode(scale=1.0, threshold=100))
    net(torch.ones(2, 3))
    functional.reset_net(net)
    assert net[0].v == 0.0
