"""Sums on a grid are exact in any order; time constants in seconds give back the steps they came from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from filopodia import export
from filopodia.errors import InputError
from filopodia.export.affine import scaled, shifted
from filopodia.export.exact import Grid, _holds, order_dependent, snapped
from filopodia.export.ops import Conv, Dense, Graph, Neuron, Op, Source
from filopodia.export.seconds import steps, time_constant


def graph_of(layer: Dense | Conv, binary: bool = True) -> Graph:
    source = Op("input", Source(), (), (layer.weight.shape[1],), binary=binary)
    return Graph({0: source, 1: Op("fc", layer, (0,), (len(layer.weight),))}, {"input": 0}, {"output": 1})


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31), inputs=st.integers(1, 300), scale=st.sampled_from([1e-4, 0.1, 1.0, 300.0]), bias=st.booleans()
)
def test_sums_of_snapped_weights_do_not_depend_on_their_order(seed: int, inputs: int, scale: float, bias: bool) -> None:
    rng = np.random.default_rng(seed)
    weight = np.where(rng.random((7, inputs)) < 0.3, 0.0, rng.standard_normal((7, inputs)) * scale).astype(np.float32)
    added = torch.from_numpy(rng.standard_normal(7).astype(np.float32) * np.float32(scale)) if bias else None
    layer = snapped(graph_of(Dense(torch.from_numpy(weight), added))).ops[1].what
    assert isinstance(layer, Dense)
    new = layer.weight.numpy()
    assert np.array_equal(new == 0, weight == 0)
    assert _holds(layer, Grid(1.0, 1.0))
    assert np.abs(new - weight).max(initial=0) <= 2.0**-22 * (np.abs(weight).sum(axis=1).max() + scale * 5 + 1e-30)
    spikes = (rng.random(inputs) < 0.5).astype(np.float32)
    exact = (new.astype(np.float64) * spikes).sum(axis=1)
    for _ in range(5):
        order = rng.permutation(inputs)
        total = np.zeros(7, dtype=np.float32)
        for i in order:
            total += new[:, i] * spikes[i]
        assert np.array_equal(total.astype(np.float64), exact)


def test_layers_that_read_voltages_are_listed_and_left_alone() -> None:
    layer = Dense(torch.randn(4, 5), None)
    graph = graph_of(layer, binary=False)
    assert order_dependent(graph) == ["fc"]
    assert snapped(graph).ops[1].what is layer
    assert order_dependent(snapped(graph_of(layer))) == []


@settings(max_examples=200, deadline=None)
@given(tau=st.floats(1.001, 500.0), dt=st.sampled_from([1e-3, 1e-4, 0.5e-3, 1.0, 0.013]))
def test_seconds_give_back_the_steps(tau: float, dt: float) -> None:
    assert steps(time_constant(tau, dt), dt) == np.float32(tau)  # type: ignore[arg-type]


def test_the_usual_time_constants_are_float32_seconds() -> None:
    for tau in (1.5, 1.7, 2.0, 3.0, 4 / 3, 5.0, 10.0, 20.0):
        assert time_constant(tau, 1e-3).dtype == np.float32


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_folding_is_batch_norm_rounded_once(seed: int) -> None:
    torch.manual_seed(seed)
    conv, norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4).eval()
    nn.init.uniform_(norm.weight, -2, 2)
    nn.init.uniform_(norm.running_mean, -1, 1)
    nn.init.uniform_(norm.running_var, 0.01, 2)
    scale = norm.weight.detach().double() * torch.rsqrt(norm.running_var.double() + norm.eps)
    layer = Conv(conv.weight.detach(), conv.bias.detach(), (1, 1), (0, 0), (1, 1), 1)
    folded = shifted(scaled(layer, scale), norm.bias.detach().double() - norm.running_mean.double() * scale)
    x = torch.rand(2, 3, 6, 6)
    assert folded.bias is not None
    found = nn.functional.conv2d(x, folded.weight, folded.bias.float())
    assert torch.allclose(found, norm(conv(x)), atol=1e-5)


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(InputError, match="not finite"):
        scaled(Dense(torch.ones(2, 2), None), torch.tensor([1.0, float("inf")]))


def test_a_wrong_graph_is_caught_before_it_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    from spikingjelly.activation_based import neuron

    from filopodia.errors import FilopodiaError
    from filopodia.export import torch_to_nir

    net = nn.Sequential(nn.Linear(4, 4, bias=False), neuron.IFNode()).eval()
    nn.init.uniform_(net[0].weight, 0.15, 0.2)  # sums between the wrong threshold and the right one
    real = torch_to_nir.NODES[Neuron]

    def wrong(op: Op, source: tuple[int, ...], dt: float) -> object:
        node = real(op, source, dt)
        node.v_threshold = node.v_threshold * np.float32(0.5)
        return node

    monkeypatch.setitem(torch_to_nir.NODES, Neuron, wrong)
    with pytest.raises(FilopodiaError, match="spikes differently"):
        export.to_nir(net, torch.ones(1, 4))
