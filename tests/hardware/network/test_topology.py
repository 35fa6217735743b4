"""Graphs of any shape: order, loops, delays, several inputs and outputs, graphs in graphs."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filopodia import hardware
from filopodia.errors import FileError, InputError, UnsupportedError
from filopodia.hardware.network import simulate_network
from filopodia.hardware.network.order import order_nodes

DT = 1e-3


def relay(size: int = 1) -> nir.LIF:
    """A neuron without memory that fires when its input passes 0.5."""
    ones = np.ones(size)
    return nir.LIF(tau=ones * DT, r=ones, v_leak=ones * 0, v_threshold=ones * 0.5, v_reset=ones * 0)


def graph(nodes: dict[str, Any], edges: list[tuple[str, str]], **metadata: Any) -> nir.NIRGraph:
    return nir.NIRGraph(nodes, edges, metadata={"dt": DT} | metadata, type_check=False)


def port(size: int = 1) -> nir.Input:
    return nir.Input({"input": np.array([size])})


def out(size: int = 1) -> nir.Output:
    return nir.Output({"output": np.array([size])})


def scale(value: float) -> nir.Scale:
    return nir.Scale(np.array([value]))


def ran(source: nir.NIRGraph, spikes: Any, **options: Any) -> dict[str, list[float]]:
    """Outputs over time of one sample with one value each; `spikes` is a list, or a dict of lists."""

    def column(values: list[float]) -> np.ndarray:
        return np.array(values, dtype=np.float64).reshape(-1, 1, 1)

    given = {k: column(v) for k, v in spikes.items()} if isinstance(spikes, dict) else column(spikes)
    network = hardware.load(source, **options)
    activity = simulate_network(network, given, dtype=np.float64)
    return {name: activity.spikes[name][:, 0, 0].astype(float).tolist() for name in network.outputs}


def ring(*between: tuple[str, Any], **metadata: Any) -> nir.NIRGraph:
    """input -> n -> output, and from n back to n through what is `between`."""
    names = ["n", *(name for name, _ in between), "n"]
    nodes = {"input": port(), "n": relay(), **dict(between), "output": out()}
    return graph(nodes, [("input", "n"), ("n", "output"), *pairwise(names)], **metadata)


def test_a_loop_comes_one_step_late() -> None:
    assert ran(ring(("w", scale(1))), [1, 0, 0, 0])["output"] == [1, 1, 1, 1]
    assert ran(ring(), [0, 1, 0, 0])["output"] == [0, 1, 1, 1]  # straight back to itself
    assert ran(ring(("w", scale(0.4))), [1, 0, 0])["output"] == [1, 0, 0]


def test_a_delay_in_a_loop_is_all_of_the_loop_delay() -> None:
    two = nir.Delay(np.array([2 * DT]))
    assert ran(ring(("d", two)), [1, 0, 0, 0, 0, 0])["output"] == [1, 0, 1, 0, 1, 0]
    assert ran(ring(("w", scale(1)), ("d", two)), [1, 0, 0, 0, 0])["output"] == [1, 0, 1, 0, 1]


def test_the_recurrent_bias_of_the_first_step_is_an_option() -> None:
    back = ("w", nir.Affine(np.zeros((1, 1)), np.ones(1)))
    assert ran(ring(back), [0, 0, 0])["output"] == [1, 1, 1]
    assert ran(ring(back), [0, 0, 0], recurrent_input_at_start=False)["output"] == [0, 1, 1]
    assert ran(ring(back, recurrent_input_at_start=False), [0, 0, 0])["output"] == [0, 1, 1]
    two = [back, ("s", scale(1))]
    assert ran(ring(*two), [0, 0, 0], recurrent_input_at_start=False)["output"] == [0, 1, 1]


def test_two_neurons_on_one_loop() -> None:
    nodes = {"output": out(), "b": relay(), "a": relay(), "input": port(), "w": scale(1)}
    edges = [("input", "a"), ("a", "b"), ("b", "w"), ("w", "a"), ("b", "output")]
    network = hardware.load(graph(nodes, edges))
    assert list(network.nodes) == ["input", "w", "a", "b", "output"]
    assert network.feedback == (("b", "w"),)
    assert ran(graph(nodes, edges), [1, 0, 0])["output"] == [1, 1, 1]


def test_edges_into_one_node_sum() -> None:
    nodes = {"x": port(), "y": port(), "n": scale(2), "output": out()}
    edges = [("x", "n"), ("y", "n"), ("x", "output"), ("n", "output")]
    assert ran(graph(nodes, edges), {"x": [1, 2], "y": [10, 0]})["output"] == [23, 6]
    with pytest.raises(InputError, match="a mapping from input name to array: x, y"):
        ran(graph(nodes, edges), [1, 2])
    with pytest.raises(InputError, match="arrays for x"):
        ran(graph(nodes, edges), {"x": [1]})
    with pytest.raises(InputError, match="the same T and N"):
        ran(graph(nodes, edges), {"x": [1], "y": [1, 2]})


def test_several_outputs_and_their_delay() -> None:
    nodes = {"input": port(), "n": relay(), "s": scale(3), "spikes": out(), "current": out()}
    edges = [("input", "n"), ("input", "s"), ("n", "spikes"), ("s", "current")]
    assert ran(graph(nodes, edges), [1, 0, 1]) == {"spikes": [1, 0, 1], "current": [3, 0, 3]}
    assert ran(graph(nodes, edges), [1, 0, 1], output_delay=2) == {"spikes": [0, 0, 1], "current": [0, 0, 3]}
    activity = simulate_network(hardware.load(graph(nodes, edges)), np.ones((4, 2, 1)))
    assert activity.spikes["spikes"].dtype == np.bool_
    assert activity.rates["spikes"].dtype == np.int32
    assert activity.rates["current"].tolist() == [[12.0], [12.0]]


def test_delays_differ_from_neuron_to_neuron() -> None:
    nodes = {"input": port(3), "d": nir.Delay(np.array([0, DT, 2.4 * DT])), "output": out(3)}
    network = hardware.load(graph(nodes, [("input", "d"), ("d", "output")]))
    x = np.arange(1, 6, dtype=np.float32)[:, None, None] * np.ones(3, np.float32)
    assert simulate_network(network, x).spikes["output"][:, 0].T.tolist() == [[1, 2, 3, 4, 5], [0, 1, 2, 3, 4], [0, 0, 1, 2, 3]]


def test_integrators_and_current_based_leaks() -> None:
    half = {"v_leak": np.array([0.0]), "r": np.array([1.0])}
    cuba = nir.CubaLI(tau_syn=np.array([2 * DT]), tau_mem=np.array([2 * DT]), w_in=np.array([2.0]), **half)
    nodes = {
        "input": port(),
        "i": nir.I(r=np.array([1 / DT])),
        "li": nir.LI(tau=np.array([2 * DT]), **half),
        "cuba": cuba,
        "oi": out(),
        "ol": out(),
        "oc": out(),
    }
    edges = [("input", n) for n in ("i", "li", "cuba")] + [("i", "oi"), ("li", "ol"), ("cuba", "oc")]
    values = ran(graph(nodes, edges), [1, 1, 0])
    assert values == {"oi": [1, 2, 2], "ol": [0.5, 0.75, 0.375], "oc": [0.5, 1.0, 0.875]}
    network = hardware.load(graph(nodes, edges))
    states = simulate_network(network, np.ones((1, 1, 1)), record=["u", "v"], dtype=np.float64).states
    assert states["u"]["cuba"].item() == 1.0
    assert set(states["v"]) == {"i", "li", "cuba"}


def nested(depth: int) -> nir.NIRGraph:
    inner: Any = scale(2)
    for _ in range(depth):
        inner = graph({"in": port(), "g": inner, "out": out()}, [("in", "g"), ("g", "out")])
    return graph({"input": port(), "g": inner, "output": out()}, [("input", "g"), ("g", "output")])


def test_graphs_in_graphs() -> None:
    assert ran(nested(3), [1, 2])["output"] == [2, 4]
    assert list(hardware.load(nested(2)).nodes) == ["input", "g.g.g", "output"]
    with pytest.raises(FileError, match="nested too deeply"):
        hardware.load(nested(40))
    wide = nested(0)
    for _ in range(20):  # each holds the last one twice: a million nodes of twenty graphs
        wide = graph({"input": port(), "a": wide, "b": wide, "output": out()}, [("input", "a"), ("a", "b"), ("b", "output")])
    with pytest.raises(FileError, match="too many nodes"):
        hardware.load(wide)
    endless = nested(1)
    endless.nodes["g"] = endless
    with pytest.raises(FileError, match="nested too deeply"):
        hardware.load(endless)


def test_a_subgraph_with_two_ports_is_reached_by_their_names() -> None:
    inner = graph({"p": port(), "q": port(), "s": scale(10), "out": out()}, [("p", "s"), ("s", "out"), ("q", "out")])
    nodes = {"x": port(), "y": port(), "g": inner, "output": out()}
    edges = [("x", "g.p"), ("y", "g.q"), ("g", "output")]
    assert ran(graph(nodes, edges), {"x": [1], "y": [2]})["output"] == [12]
    with pytest.raises(FileError, match="subgraph with 2 Input nodes"):
        hardware.load(graph(nodes, [("x", "g"), ("g", "output")]))
    with pytest.raises(FileError, match="that no edge leads to"):
        hardware.load(graph(nodes, [("x", "g.p"), ("g", "output")]))


def test_a_subgraph_around_a_loop_and_one_with_nothing_in_it() -> None:
    through = graph({"in": port(), "out": out()}, [("in", "out")])
    nodes = {"input": port(), "n": relay(), "g": through, "output": out()}
    edges = [("input", "n"), ("n", "g"), ("g", "n"), ("g", "output")]
    assert ran(graph(nodes, edges), [0, 1, 0])["output"] == [0, 1, 1]
    with pytest.raises(FileError, match="a loop with nothing in it"):
        hardware.load(graph({"input": port(), "g": through, "output": out()}, [("input", "g"), ("g", "g"), ("g", "output")]))


@st.composite
def wirings(draw: st.DrawFn) -> tuple[list[str], list[tuple[str, str]], set[str]]:
    names = [f"n{i}" for i in range(draw(st.integers(1, 9)))]
    edges = draw(st.lists(st.tuples(st.sampled_from(names), st.sampled_from(names)), max_size=24))
    return names, edges, draw(st.sets(st.sampled_from(names)))


@settings(max_examples=300, deadline=None)
@given(wirings())
def test_every_order_runs(wiring: tuple[list[str], list[tuple[str, str]], set[str]]) -> None:
    names, edges, neurons = wiring
    try:
        order = order_nodes(names, edges, neurons, ())
    except UnsupportedError:
        assert stateless_loop(edges, neurons)
        return
    assert not stateless_loop(edges, neurons)
    assert sorted(order.nodes) == sorted(names)
    place = {name: i for i, name in enumerate(order.nodes)}
    for edge in edges:
        assert edge in order.feedback or place[edge[0]] < place[edge[1]]
    reach = closure(edges)
    for a, b in order.feedback:
        assert a in neurons
        assert a in reach.get(b, set()) | {b}, "an edge on no loop is never late"


def closure(edges: list[tuple[str, str]]) -> dict[str, set[str]]:
    reach: dict[str, set[str]] = {}
    for a, b in edges:
        reach.setdefault(a, set()).add(b)
    for _ in range(10):
        for found in reach.values():
            found |= {c for b in list(found) for c in reach.get(b, ())}
    return reach


def stateless_loop(edges: list[tuple[str, str]], neurons: set[str]) -> bool:
    plain = [(a, b) for a, b in edges if a not in neurons and b not in neurons]
    return any(a in found for a, found in closure(plain).items())
