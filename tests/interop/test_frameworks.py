"""The float reference against Norse, snnTorch and SpikingJelly: one NIR graph, every framework's own importer, every spike.

Each framework has conventions that NIR leaves open; `CONVENTIONS` is how they are said to `hardware.load`. Needs the
dependency group `interop`; without it the tests of a missing framework are skipped.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import io
import warnings
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import nir
import numpy as np
import pytest
import torch

from filopodia import hardware
from filopodia.hardware.network import simulate_network

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("ignore")]  # the frameworks' own warnings are theirs

DT = 1e-4  # snnTorch's importer knows no other
STEPS, SAMPLES = 100, 8

# How each framework fires and what its recurrent layers hear in the first step; all reset to zero by Euler's rule.
CONVENTIONS: dict[str, dict[str, Any]] = {
    "norse": {"comparison": ">", "recurrent_input_at_start": False},
    "snntorch": {"comparison": ">"},
    "spikingjelly": {"comparison": ">=", "recurrent_input_at_start": False},  # recurrence runs through nirtorch, as Norse's
}


def full(shape: tuple[int, ...], value: float) -> np.ndarray:
    return np.full(shape, value, np.float32)


def lif(shape: tuple[int, ...], threshold: float = 0.1, r: float = 1.0, rest: float = 0.0) -> nir.LIF:
    values = {"tau": 25 * DT, "r": r, "v_leak": rest, "v_threshold": threshold, "v_reset": rest}
    return nir.LIF(**{key: full(shape, value) for key, value in values.items()})


def integrator(shape: tuple[int, ...]) -> nir.IF:
    return nir.IF(r=full(shape, 1 / DT), v_threshold=full(shape, 1), v_reset=full(shape, 0))


def cuba(shape: tuple[int, ...]) -> nir.CubaLIF:
    values = {"tau_syn": 10 * DT, "tau_mem": 25 * DT, "r": 25, "v_leak": 0, "v_threshold": 1, "v_reset": 0, "w_in": 10}
    return nir.CubaLIF(**{key: full(shape, value) for key, value in values.items()})


def affine(out: int, features: int, scale: float, seed: int) -> nir.Affine:
    rng = np.random.default_rng(seed)
    weight = rng.normal(0, 3 * scale / np.sqrt(features), (out, features))
    return nir.Affine(weight.astype(np.float32), rng.normal(0, 0.1 * scale, out).astype(np.float32))


def conv(out: int, channels: int, padding: int, image: tuple[int, int], seed: int) -> nir.Conv2d:
    rng = np.random.default_rng(seed)
    weight, bias = rng.normal(0, 0.6, (out, channels, 3, 3)), rng.normal(0, 0.1, out)
    return nir.Conv2d(image, weight.astype(np.float32), (1, 1), (padding, padding), (1, 1), 1, bias.astype(np.float32))


def chain(*nodes: Any, shape: tuple[int, ...]) -> nir.NIRGraph:
    named = {"input": nir.Input(np.array(shape))} | {f"n{i}": node for i, node in enumerate(nodes)}
    named["output"] = nir.Output(nodes[-1].output_type["output"])
    return nir.NIRGraph(named, list(pairwise(named)))


def dense(neuron: Callable[[tuple[int, ...]], Any], scale: float) -> nir.NIRGraph:
    return chain(affine(40, 20, scale, 1), neuron((40,)), affine(30, 40, scale, 2), neuron((30,)), shape=(20,))


def image(pool: type) -> nir.NIRGraph:
    two, none = np.array([2, 2]), np.array([0, 0])
    return chain(
        conv(6, 2, 1, (8, 8), 3),
        lif((6, 8, 8), 0.1),
        pool(two, two, none),
        conv(8, 6, 0, (4, 4), 4),
        lif((8, 2, 2), 0.05),
        nir.Flatten({"input": np.array([8, 2, 2])}, 0, -1),
        affine(10, 32, 2, 5),
        lif((10,), 0.05),
        shape=(2, 8, 8),
    )


def recurrent(neuron: Callable[[tuple[int, ...]], Any], scale: float) -> nir.NIRGraph:
    graph = chain(affine(40, 20, scale, 6), neuron((40,)), affine(10, 40, scale, 7), neuron((10,)), shape=(20,))
    back = affine(40, 40, 0.3 * scale, 8)
    # Norse's importer (nirtorch's older reader) depends on the order of nodes and edges: recurrence before the way out
    order = ["input", "n0", "n1", "again", "n2", "n3", "output"]
    nodes = {name: graph.nodes.get(name, back) for name in order}
    return nir.NIRGraph(nodes, [*graph.edges[:2], ("n1", "again"), ("again", "n1"), *graph.edges[2:]])


GRAPHS: dict[str, Callable[[], nir.NIRGraph]] = {
    "lif": lambda: dense(lif, 2),
    "lif without input decay": lambda: dense(lambda shape: lif(shape, 0.8, r=25), 0.3),
    "lif at rest below zero": lambda: dense(lambda shape: lif(shape, 0.0, rest=-0.1), 2),
    "if": lambda: dense(integrator, 0.5),
    "cuba": lambda: dense(cuba, 0.3),
    "conv, average pool": lambda: image(nir.AvgPool2d),
    "conv, sum pool": lambda: image(nir.SumPool2d),
    "recurrent cuba": lambda: recurrent(cuba, 0.3),
    "recurrent lif": lambda: recurrent(lif, 2),
}

# What the importers of Norse 1.1.0, snnTorch 1.0.0 and SpikingJelly 2.0.0 read as it is meant. Norse leaves out r of LIF and
# v_reset, and has no AvgPool2d; snnTorch knows r = 1 alone for IF (and makes a leaky neuron of it), no v_leak and no
# SumPool2d; SpikingJelly hands SumPool2d to nirtorch.
READ = [
    *(("norse", g) for g in ("lif", "if", "cuba", "conv, sum pool", "recurrent cuba", "recurrent lif")),
    *(("snntorch", g) for g in ("lif", "lif without input decay", "cuba", "conv, average pool")),
    *(("spikingjelly", g) for g in GRAPHS),
]


def importer(framework: str) -> Callable[[nir.NIRGraph], Any]:
    try:
        if framework == "norse":
            norse = importlib.import_module("norse.torch")
            return lambda graph: norse.from_nir(graph, ignore_warnings=True, dt=DT)
        if framework == "snntorch":
            return importlib.import_module("snntorch.import_nir").import_from_nir
        exchange = importlib.import_module("spikingjelly.activation_based.nir_exchange")
        return lambda graph: exchange.import_from_nir(graph, dt=DT)
    except ImportError as error:
        pytest.skip(f"{error}: uv run --group interop pytest tests/interop")


def run(framework: str, graph: nir.NIRGraph, spikes: np.ndarray) -> np.ndarray:
    """Output spikes [T, N, *shape]; one sample at a time, for Flatten counts no sample axis."""
    batched = "Flatten" not in {type(node).__name__ for node in graph.nodes.values()} or framework == "spikingjelly"
    make = importer(framework)
    out = []
    for part in [slice(None)] if batched else range(spikes.shape[1]):
        with contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
            model, state, steps = make(copy.deepcopy(graph)), None, []
            for x in torch.from_numpy(spikes[:, part].astype(np.float32)):
                y, state = model(x) if state is None else model(x, state)
                steps.append(y.numpy())
        out.append(np.stack(steps))
    return out[0] if batched else np.stack(out, axis=1)


def difference(mine: np.ndarray, theirs: np.ndarray) -> int:
    assert 0.01 < mine.mean() < 0.99, f"an output that fires at {mine.mean():.4f} proves little"
    return int((mine != (theirs.reshape(mine.shape) != 0)).sum())


def spikes_for(graph: nir.NIRGraph) -> np.ndarray:
    shape = tuple(int(n) for n in graph.nodes["input"].input_type["input"])
    return np.random.default_rng(0).random((STEPS, SAMPLES, *shape)) < 0.3


@pytest.mark.parametrize(("framework", "name"), READ)
def test_every_spike_is_theirs(framework: str, name: str) -> None:
    graph = GRAPHS[name]()
    spikes = spikes_for(graph)
    theirs = run(framework, graph, spikes)
    mine = simulate_network(hardware.load(graph, dt=DT, **CONVENTIONS[framework]), spikes)
    assert difference(mine.spikes["output"], theirs) == 0


def test_recurrence_of_snntorch_itself() -> None:
    """snnTorch's RLeaky adds the recurrent bias from the first step on. Its importer is another matter, see below."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        snntorch = pytest.importorskip("snntorch", reason="dependency group interop")
    graph = recurrent(lambda shape: lif(shape, 1.0, r=25), 0.3)
    for end in ("n2", "n3"):
        del graph.nodes[end]
    graph.edges = [("input", "n0"), ("n0", "n1"), ("n1", "output"), ("n1", "again"), ("again", "n1")]
    graph.nodes["output"] = nir.Output(np.array([40]))
    layer = snntorch.RLeaky(beta=1 - 1 / 25, linear_features=40, reset_mechanism="zero", init_hidden=True, reset_delay=False)
    layer.recurrent.weight.data = torch.from_numpy(graph.nodes["again"].weight)
    layer.recurrent.bias.data = torch.from_numpy(graph.nodes["again"].bias)
    spikes = spikes_for(graph)
    weight, bias = (torch.from_numpy(getattr(graph.nodes["n0"], key)) for key in ("weight", "bias"))
    with torch.no_grad():
        inputs = torch.from_numpy(spikes.astype(np.float32))
        theirs = np.stack([layer(torch.nn.functional.linear(x, weight, bias)).numpy() for x in inputs])
    mine = simulate_network(hardware.load(graph, dt=DT, **CONVENTIONS["snntorch"]), spikes)
    assert difference(mine.spikes["output"], theirs) == 0


def test_the_importer_of_snntorch_leads_the_input_through_the_recurrent_weights() -> None:
    """snnTorch 1.0.0 connects a recurrent subgraph's input to the recurrent matrix instead of the neuron: the same graph with
    that edge moved gives its spikes. Should this fail one day, snnTorch has mended it."""
    graph = recurrent(cuba, 0.3)
    spikes = spikes_for(graph)
    theirs = run("snntorch", graph, spikes)
    graph.edges = [("n0", "again") if edge == ("n0", "n1") else edge for edge in graph.edges]
    mine = simulate_network(hardware.load(graph, dt=DT, **CONVENTIONS["snntorch"]), spikes)
    assert difference(mine.spikes["output"], theirs) == 0
