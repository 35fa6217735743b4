"""simulate_network against torch and SpikingJelly, spike for spike, and against hand-worked steps."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import nir
import numpy as np
import pytest
import torch
from spikingjelly.activation_based import functional, layer, neuron

from filopodia import hardware
from filopodia.errors import InputError
from filopodia.hardware.network import simulate_network
from filopodia.hardware.network.neurons import prepare

DT = 1e-3


def full(shape: tuple[int, ...], value: float) -> np.ndarray:
    return np.full(shape, value, np.float32)


def below(threshold: float) -> float:
    return float(np.nextafter(np.float32(threshold), np.float32(-np.inf)))


def to_node(module: Any, shape: tuple[int, ...]) -> Any:
    """The NIR node of a torch or SpikingJelly module, written the way filopodia's files are."""
    if isinstance(module, torch.nn.Linear):
        return nir.Affine(module.weight.detach().numpy(), module.bias.detach().numpy())
    if isinstance(module, torch.nn.Conv2d):
        options = (module.stride, module.padding, module.dilation, module.groups, module.bias.detach().numpy())
        return nir.Conv2d(None, module.weight.detach().numpy(), *options)
    if isinstance(module, torch.nn.AvgPool2d):
        size = np.array([module.kernel_size] * 2)
        return nir.AvgPool2d(size, size, np.array([0, 0]))
    if isinstance(module, torch.nn.Flatten):
        return nir.Flatten({"input": None}, 0, -1)
    threshold = full(shape, below(module.v_threshold))
    reset = full(shape, module.v_reset or 0)
    if isinstance(module, neuron.IFNode):
        return nir.IF(r=full(shape, 1 / DT), v_threshold=threshold, v_reset=reset)
    tau = full(shape, module.tau * DT)
    r = full(shape, 1 if module.decay_input else module.tau)
    return nir.LIF(tau=tau, r=r, v_leak=reset, v_threshold=threshold, v_reset=reset)


def graph_of(modules: list[Any], x: torch.Tensor, reset: str) -> tuple[nir.NIRGraph, dict[str, np.ndarray]]:
    """The modules as a NIR graph, and what torch's neurons fire for `x`."""
    nodes: dict[str, Any] = {"input": nir.Input({"input": np.array(x.shape[2:])})}
    fired = {}
    for index, module in enumerate(modules):
        with torch.no_grad():
            x = module(x)
        nodes[f"n{index}"] = to_node(module, tuple(x.shape[2:]))
        if isinstance(module, neuron.BaseNode):
            fired[f"n{index}"] = x.numpy().astype(bool)
    nodes["output"] = nir.Output({"output": np.array(x.shape[2:])})
    names = list(nodes)
    metadata = {"filopodia_format": 1, "dt": DT, "comparison": ">", "trained_comparison": ">=", "reset": reset}
    edges = list(pairwise(names))
    return nir.NIRGraph(nodes, edges, metadata=metadata, type_check=False), fired


@pytest.mark.parametrize(
    ("make", "reset"),
    [
        (lambda: neuron.IFNode(v_threshold=0.7), "zero"),
        (lambda: neuron.IFNode(v_reset=None), "subtract"),
        (lambda: neuron.LIFNode(2.0, v_threshold=0.5), "zero"),
        (lambda: neuron.LIFNode(1.7, v_threshold=0.3), "zero"),
        (lambda: neuron.LIFNode(4 / 3, v_threshold=0.6), "zero"),
        (lambda: neuron.LIFNode(2.3, decay_input=False), "zero"),
        (lambda: neuron.LIFNode(2.0, v_threshold=0.5, v_reset=-0.25), "zero"),
        (lambda: neuron.LIFNode(2.0, v_threshold=0.3, v_reset=None), "subtract"),
    ],
)
def test_every_spike_equals_spikingjelly(make: Any, reset: str) -> None:
    torch.manual_seed(1)
    modules = [
        layer.Conv2d(2, 6, 3, padding=1),
        make(),
        layer.AvgPool2d(2),
        layer.Conv2d(6, 8, 3, groups=2),
        make(),
        layer.Flatten(),
        layer.Linear(8 * 4, 10),
        make(),
    ]
    for module in modules:
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            module.weight.data *= 3
        functional.set_step_mode(module, "m")
    x = (torch.rand(12, 20, 2, 8, 8, generator=torch.Generator().manual_seed(2)) < 0.4).float()
    graph, fired = graph_of(modules, x, reset)
    activity = simulate_network(hardware.load(graph), x.numpy().astype(bool))
    assert sum(int(spikes.sum()) for spikes in fired.values()) > 500
    for name, expected in fired.items():
        assert int((activity.spikes[name] != expected).sum()) == 0, name
    np.testing.assert_array_equal(activity.rates["output"], fired["n7"].sum(axis=0))


@pytest.mark.parametrize("tau", [1.7, 2.0, 2.3, 4 / 3, 20.0, 100.0])
@pytest.mark.parametrize("dt", [1e-3, 1e-4, 3e-4])
def test_time_constants_stored_in_float32_divide_as_they_were_trained(tau: float, dt: float) -> None:
    stored = np.full((3, 50, 50), tau * dt, np.float32)  # more neurons than distinct values
    ones = np.ones_like(stored)
    node = nir.LIF(tau=stored, r=ones, v_leak=ones * 0, v_threshold=ones, v_reset=ones * 0)
    ready = prepare(node, hardware.Semantics(dt), np.dtype(np.float32))
    assert (ready.steps == np.float32(tau)).all()


def lif_graph(**values: float) -> nir.NIRGraph:
    fields = {"tau": 2 * DT, "r": 1.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0} | values
    node = nir.LIF(**{key: np.array([value]) for key, value in fields.items()})
    edges = [("input", "lif"), ("lif", "output")]
    ends = {"input": nir.Input({"input": np.array([1])}), "output": nir.Output({"output": np.array([1])})}
    return nir.NIRGraph({**ends, "lif": node}, edges, metadata={})


def fired_by(graph: nir.NIRGraph, current: list[float], **options: Any) -> list[bool]:
    network = hardware.load(graph, dt=DT, **options)
    spikes = np.array(current, np.float64).reshape(-1, 1, 1)
    return simulate_network(network, spikes, dtype=np.float64).spikes["output"][:, 0, 0].tolist()


def test_a_tie_fires_only_where_the_comparison_says_so() -> None:
    assert fired_by(lif_graph(), [2.0, 2.0]) == [False, True]  # v = 1.0 exactly, then 1.5
    assert fired_by(lif_graph(), [2.0, 2.0], comparison=">=") == [True, True]


def test_reset_by_subtraction_keeps_the_rest() -> None:
    current = [3.0, 2.0, 0.0]  # zero: 1.5 fires, 1.0, 0.5 · subtract: 1.5 fires and leaves 0.5, 1.25 fires
    assert fired_by(lif_graph(), current) == [True, False, False]
    assert fired_by(lif_graph(), current, reset="subtract") == [True, True, False]


def test_exponential_decay() -> None:
    graph = lif_graph(v_threshold=100.0)
    network = hardware.load(graph, dt=DT, discretization="exponential")
    v = simulate_network(network, np.ones((3, 1, 1)), record=["v"], dtype=np.float64).states["v"]["lif"][:, 0, 0]
    np.testing.assert_allclose(v, 1 - np.exp(-np.arange(1, 4) / 2), rtol=1e-12)


def test_output_delay_hands_the_same_spikes_out_later() -> None:
    current = [3.0, 0.0, 3.0, 0.0]
    assert fired_by(lif_graph(), current, output_delay=1) == [False, True, False, True]


@pytest.mark.parametrize(
    ("shape", "message"), [((4, 2, 3), r"\[T, N, 1\]"), ((4, 1), r"\[T, N, 1\]"), ((0, 2, 1), "at least 1")]
)
def test_wrong_inputs_are_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        simulate_network(hardware.load(lif_graph(), dt=DT), np.zeros(shape))
