"""Both kernels against the reference over random programs: no result depends on kernel, threads, tiles or memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filopodia.hardware.program import Connection, Conv, Core, Dense, Input, Layer, Program, Sparse, Synapses
from filopodia.hardware.simulator import cut, reference, tile
from filopodia.hardware.simulator.cost import Choice
from filopodia.hardware.simulator.inputs import messages
from filopodia.hardware.simulator.prepared import Prepared
from filopodia.hardware.simulator.simulate import simulate


@contextmanager
def only(kernel: str) -> Iterator[None]:
    """Let one kernel do all that it can; "chosen" leaves the choice to the cost model."""
    before = tile.choose, tile.LANES_FROM
    if kernel != "chosen":
        tile.choose = lambda *_: Choice(kernel)
        tile.LANES_FROM = 1
    try:
        yield
    finally:
        tile.choose, tile.LANES_FROM = before


def weights(rng: np.random.Generator, shape: tuple[int, ...], scale: int, density: float) -> np.ndarray:
    values = rng.integers(-scale, scale + 1, shape) * (rng.random(shape) < density)
    return values.astype(np.int16)


def sparse(matrix: np.ndarray) -> Sparse:
    rows, columns = np.nonzero(matrix)
    indptr = np.searchsorted(rows, np.arange(len(matrix) + 1)).astype(np.int64)
    return Sparse(matrix.shape, indptr, columns.astype(np.int32), matrix[rows, columns])


@st.composite
def programs(draw: st.DrawFn) -> tuple[Program, int]:
    """A random program of up to four layers, and a seed for its spikes."""
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    graded = draw(st.sampled_from([0, 0, 0, 6]))
    nodes: list[Input | Layer] = [Input("x", draw(st.sampled_from([(7,), (130,), (2, 5, 4), (3, 6)])), graded)]
    if draw(st.booleans()):
        nodes.append(Input("y", (9,), 0))
    connections: list[Connection] = []
    inputs = len(nodes)
    for i in range(draw(st.integers(1, 3))):
        name = f"l{i}"
        sources = [nodes[draw(st.integers(0, len(nodes) - 1))] for _ in range(draw(st.sampled_from([1, 1, 1, 2])))]
        shape: tuple[int, ...] | None = None
        latency = 1 + max(x.latency if isinstance(x, Layer) else 0 for x in sources)
        for source in {x.name: x for x in sources}.values():
            scale = draw(st.sampled_from([3, 100, 300]))
            density = draw(st.sampled_from([0.05, 0.4, 1.0]))
            synapses: Synapses
            if len(source.shape) > 1 and shape is None and draw(st.booleans()):
                channels, height, width = source.shape if len(source.shape) == 3 else (source.shape[0], 1, source.shape[1])
                groups = draw(st.sampled_from([1, 1, channels]))
                k_h, k_w = draw(st.integers(1, min(3, height))), draw(st.integers(1, 3))
                stride = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
                padding = (draw(st.integers(0, 2)), draw(st.integers(0, 2)))
                dilation = (1, draw(st.sampled_from([1, 1, 2])) if width > 2 * k_w else 1)
                outs = groups * draw(st.sampled_from([1, 2, 70 if groups == 1 else 3]))
                kernel = weights(rng, (outs, channels // groups, k_h, k_w), scale, density)
                shape = (
                    outs,
                    (height + 2 * padding[0] - dilation[0] * (k_h - 1) - 1) // stride[0] + 1,
                    (width + 2 * padding[1] - dilation[1] * (k_w - 1) - 1) // stride[1] + 1,
                )
                synapses = Conv(kernel, stride, padding, dilation, groups)
            else:
                shape = shape or draw(st.sampled_from([(5,), (140,), (2, 3, 3)]))
                matrix = weights(rng, (int(np.prod(shape)), source.size), scale, density)
                synapses = sparse(matrix) if draw(st.booleans()) else Dense(matrix)
            early = latency - 1 - (source.latency if isinstance(source, Layer) else 0)
            bits = graded if source.name == "x" else 0
            connections.append(_connection(draw, source.name, name, synapses, bits, early))
        assert shape is not None
        if draw(st.sampled_from([False, False, True])):
            back = weights(rng, (int(np.prod(shape)),) * 2, 100, 0.3)
            connections.append(_connection(draw, name, name, Dense(back), 0, 0))
        nodes.append(_layer(draw, rng, name, shape, latency))
    layers = tuple(x for x in nodes[inputs:] if isinstance(x, Layer))
    if len(layers) > 1 and draw(st.sampled_from([False, False, True])):
        back = weights(rng, (layers[0].size, layers[-1].size), 60, 0.3)
        connections.append(Connection(layers[-1].name, layers[0].name, Dense(back), delay=1))
    cores = ()
    if draw(st.booleans()):
        halves = {x.name: np.array_split(np.arange(x.size, dtype=np.int32), 2) for x in layers}
        cores = tuple(Core(i, 0, (i, 0, 0), {name: half[i] for name, half in halves.items()}, {}) for i in range(2))
    program = Program(
        tuple(x for x in nodes[:inputs] if isinstance(x, Input)), layers, tuple(connections), (layers[-1].name,), cores=cores
    )
    return program, seed


def _connection(draw: st.DrawFn, source: str, target: str, synapses: Synapses, bits: int, early: int) -> Connection:
    return Connection(
        source,
        target,
        synapses,
        weight_exp=draw(st.sampled_from([0, 0, 0, 2, -3, 12])),
        weight_bits=draw(st.sampled_from([8, 8, 5])),
        message_bits=draw(st.sampled_from([0, bits])),
        sign_mode=draw(st.sampled_from(["mixed", "mixed", "excitatory", "inhibitory"])),
        delay=early + draw(st.sampled_from([0, 0, 0, 3])),
    )


def _layer(draw: st.DrawFn, rng: np.random.Generator, name: str, shape: tuple[int, ...], latency: int) -> Layer:
    def parameter(low: int, high: int, usual: list[int]) -> np.ndarray:
        if draw(st.sampled_from([True, False, False])):
            return rng.integers(low, high, shape).astype(np.int32)
        return np.asarray(draw(st.sampled_from(usual)), np.int32)

    return Layer(
        name,
        shape,
        du=parameter(-1, 4096, [4095, 4095, 300]),
        dv=parameter(0, 4097, [0, 128, 4096]),
        vth=parameter(1, 300, [1, 60]),
        bias=parameter(-50, 90, [0, 5]),
        bias_exp=draw(st.sampled_from([6, 0, -2])),
        reset=draw(st.sampled_from(["zero", "subtract"])),
        latency=latency,
    )


def spikes(program: Program, seed: int, steps: int, samples: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    given = {}
    for x in program.inputs:
        lit = rng.random((steps, samples, *x.shape)) < rng.choice([0.02, 0.2, 0.7])
        limit = 2**x.message_bits
        given[x.name] = (lit * rng.integers(1 - limit, limit, lit.shape)).astype(np.int32) if x.message_bits else lit
    return given


def check(program: Program, given: dict[str, np.ndarray], **arguments: Any) -> None:
    trace = reference.run(program, messages(program.inputs, given))
    for record in (("spikes",), ("spikes", "u", "v")):
        activity = simulate(program, given, record=record, **arguments)
        shape = (activity.steps, activity.samples, -1)
        for name, expected in trace.spikes.items():
            np.testing.assert_array_equal(activity.spikes[name].reshape(shape), expected, err_msg=name)
            np.testing.assert_array_equal(activity.counts[name].spikes, expected.sum(axis=2))
        for state, found in activity.states.items():
            for name, expected in getattr(trace, state).items():
                np.testing.assert_array_equal(found[name].reshape(shape), expected, err_msg=f"{state} of {name}")
        sent = {name: np.asarray(x).reshape(shape) for name, x in given.items()} | dict(trace.spikes)
        for layer in program.layers:
            synops, reached = _events(program, layer.name, sent)
            np.testing.assert_array_equal(activity.counts[layer.name].synops, synops)
            np.testing.assert_array_equal(activity.counts[layer.name].messages, reached)
        output = program.outputs[0]
        np.testing.assert_array_equal(activity.rates[output], activity.spikes[output].sum(axis=0))


def _events(program: Program, name: str, sent: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Synops into and messages out of a layer, from the program's weights as a matrix."""
    steps, samples = next(iter(sent.values())).shape[:2]
    synops = np.zeros((steps, samples), int)
    for connection in program.into(name):
        lag = program.lag(connection)
        fan = (_as_matrix(program, connection) != 0).sum(axis=0)
        synops[lag:] += ((sent[connection.source] != 0) @ fan)[: max(steps - lag, 0)]
    cores = np.zeros((program.nodes[name].size, max(1, len(program.cores))), bool)
    for connection in program.connections:
        if connection.source == name:
            matrix = _as_matrix(program, connection) != 0
            for core in program.cores:
                cores[:, core.index] |= matrix[core.neurons[connection.target]].any(axis=0)
    return synops, (sent[name] != 0) @ cores.sum(axis=1)


def _as_matrix(program: Program, connection: Connection) -> np.ndarray:
    """Weights [n_target, n_source], a convolution by what it makes of single messages."""
    if isinstance(connection.synapses, Conv):
        plain = Connection(connection.source, connection.target, connection.synapses, message_bits=8)
        one = np.eye(program.nodes[connection.source].size, dtype=np.int64)
        return np.asarray(reference.arriving(program, plain, one)).T
    weight = reference.effective(connection)
    if isinstance(connection.synapses, Dense):
        return np.asarray(weight)
    shape, starts = connection.synapses.shape, connection.synapses.indptr
    matrix = np.zeros(shape, np.int64)
    np.add.at(matrix, (np.repeat(np.arange(shape[0]), np.diff(starts)), connection.synapses.indices), weight)
    return matrix


@pytest.mark.parametrize("kernel", ["G", "S", "chosen"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    drawn=programs(),
    steps=st.sampled_from([1, 5, 8, 12, 19]),
    samples=st.sampled_from([1, 3, 37, 70]),
    threads=st.integers(1, 3),
)
def test_every_kernel_is_the_reference(kernel: str, drawn: tuple[Program, int], steps: int, samples: int, threads: int) -> None:
    program, seed = drawn
    with only(kernel):
        check(program, spikes(program, seed, steps, samples), threads=threads)


@pytest.mark.parametrize("steps", [3, 8, 9, 16, 17, 70])
@pytest.mark.parametrize("samples", [2, 32, 33, 64, 65, 129])
def test_every_width_and_span_of_a_vector_is_the_reference(samples: int, steps: int) -> None:
    rng = np.random.default_rng(7)
    neuron = {"dv": np.asarray(300, np.int32), "bias": np.asarray(2, np.int32)}
    layers = (
        Layer("c", (5, 4, 9), vth=np.asarray(70, np.int32), latency=1, du=np.asarray(4095, np.int32), **neuron),
        Layer("d", (6,), vth=np.asarray(90, np.int32), latency=2, du=np.asarray(700, np.int32), **neuron),
    )
    conv = Conv(weights(rng, (5, 2, 3, 3), 60, 0.5), (1, 1), (1, 1))
    connections = (Connection("x", "c", conv), Connection("c", "d", Dense(weights(rng, (6, 180), 60, 0.3))))
    program = Program((Input("x", (2, 4, 9)),), layers, connections, ("d",))
    given = spikes(program, steps * samples, steps, samples)
    with only("S"):
        check(program, given, threads=1)


@pytest.mark.parametrize("strides", [(2, 2), (3, 3), (2, 1)])
@pytest.mark.parametrize("samples", [20, 60])
def test_neighbours_that_read_every_second_place_are_the_reference(strides: tuple[int, int], samples: int) -> None:
    rng = np.random.default_rng(8)
    neuron = {"du": np.asarray(4095, np.int32), "dv": np.asarray(300, np.int32), "bias": np.asarray(2, np.int32)}
    taps = (
        Conv(weights(rng, (3, 2, 3, 3), 60, 0.7), (1, 1), (1, 1)),
        Conv(weights(rng, (4, 3, 3, 3), 60, 0.7), (2, strides[0]), (1, 2), (1, 2)),  # dilated
        Conv(weights(rng, (5, 3, 1, 2), 60, 0.9), (3, strides[1]), (0, 1)),
    )
    shapes: list[tuple[int, ...]] = [(2, 9, 37)]
    for conv, of in zip(taps, (0, 1, 1), strict=True):
        _, height, width = shapes[of]
        reach = [(k - 1) * d for k, d in zip(conv.weight.shape[2:], conv.dilation, strict=True)]
        out = [
            (size + 2 * p - r - 1) // s + 1
            for size, p, r, s in zip((height, width), conv.padding, reach, conv.stride, strict=True)
        ]
        shapes.append((conv.weight.shape[0], *out))
    layers = tuple(
        Layer(name, shape, vth=np.asarray(70, np.int32), latency=latency, **neuron)
        for name, shape, latency in zip("cde", shapes[1:], (1, 2, 2), strict=True)
    )
    connections = tuple(
        Connection(source, target, conv) for (source, target), conv in zip(("xc", "cd", "ce"), taps, strict=True)
    )
    program = Program((Input("x", shapes[0]),), layers, connections, ("d", "e"))
    with only("S"):
        check(program, spikes(program, samples, 8, samples), threads=1)


def test_nodes_of_more_words_than_are_turned_at_once_are_the_reference() -> None:
    rng = np.random.default_rng(9)
    neuron = {"du": np.asarray(4095, np.int32), "dv": np.asarray(300, np.int32), "bias": np.asarray(2, np.int32)}
    layers = (Layer("y", (700,), vth=np.asarray(70, np.int32), latency=1, **neuron),)
    connections = (Connection("x", "y", Dense(weights(rng, (700, 1100), 60, 0.02))),)
    program = Program((Input("x", (1100,)),), layers, connections, ("y",))
    with only("S"):
        check(program, spikes(program, 4, 9, 40), threads=1)


def test_a_small_memory_only_makes_tiles_smaller() -> None:
    rng = np.random.default_rng(5)
    layer = Layer("y", (300,), *(np.asarray(x, np.int32) for x in (4095, 200, 90, 0)))
    program = Program(
        (Input("x", (200,)),), (layer,), (Connection("x", "y", Dense(weights(rng, (300, 200), 60, 0.2))),), ("y",)
    )
    given = spikes(program, 1, 12, 90)
    expected = simulate(program, given, record=())
    kept = cut.result_bytes(Prepared(program), frozenset({"spikes"}), 12, 90)
    for memory in (2**30, kept + 500_000, kept + 110_000):
        layout = cut.cut(Prepared(program), frozenset({"spikes"}), 12, 90, 2, memory)
        activity = simulate(program, given, memory=memory)
        np.testing.assert_array_equal(activity.rates["y"], expected.rates["y"])
    assert layout.samples < 32
