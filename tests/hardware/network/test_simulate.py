"""The fast simulation of networks in floats against the readable reference, bit for bit, over random networks."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Mapping
from typing import Any

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filopodia import hardware
from filopodia.errors import InputError
from filopodia.hardware.activity import Activity
from filopodia.hardware.network import reference, simulate_network
from filopodia.hardware.network.simulate import checked

DT = 1e-3
ALL = ("spikes", "u", "v")
NEURONS = ("I", "IF", "LI", "LIF", "CubaLI", "CubaLIF")


class Random:
    """Networks of every kind of node, their numbers from a seed: weights of very different sizes, so that order matters."""

    def __init__(self, seed: int, semantics: Mapping[str, Any]) -> None:
        self.rng = np.random.default_rng(seed)
        self.semantics = semantics
        self.nodes: dict[str, Any] = {}
        self.edges: list[tuple[str, str]] = []
        self.shapes: dict[str, tuple[int, ...]] = {}

    def add(self, kind: str, shape: tuple[int, ...], *sources: str) -> str:
        """A node of the kind with outputs of `shape`."""
        name = f"n{len(self.nodes)}"
        before = self.shapes[sources[0]] if sources else shape
        self.nodes[name], self.shapes[name] = getattr(self, kind.lower(), self.neuron)(
            *([kind] if kind in NEURONS else []), before
        )
        self.edges += [(source, name) for source in sources]
        return name

    def weights(self, *shape: int) -> np.ndarray:
        kept = self.rng.random(shape) < self.rng.choice([0.05, 0.3, 1.0])
        sizes = 10 ** self.rng.uniform(-12, 0.5, shape)
        return (kept * sizes * self.rng.choice([-1, 1, 1], shape)).astype(
            self.rng.choice([np.float32, np.float64], p=[0.8, 0.2])
        )

    def numbers(self, shape: tuple[int, ...], low: float, high: float) -> np.ndarray:
        """One number for all, one per channel, or one each."""
        size = [(1,), (shape[0], *(1,) * (len(shape) - 1)), shape][self.rng.integers(3)]
        return np.broadcast_to(self.rng.uniform(low, high, size).astype(np.float32), shape)

    def neuron(self, kind: str, shape: tuple[int, ...]) -> tuple[Any, tuple[int, ...]]:
        tau = [self.numbers(shape, 1.2 * DT, 9 * DT) for _ in range(2)]
        r = {"r": self.numbers(shape, 0.3, 2) / (DT if kind in ("I", "IF") else 1)}
        if kind == "LIF" and self.rng.random() < 0.5:
            r = {"r": tau[0] / np.float32(DT)}
        leak = {"v_leak": self.numbers(shape, -0.1, 0.1)}
        fire = {"v_threshold": self.numbers(shape, 0.05, 1), "v_reset": self.numbers(shape, -0.3, 0)}
        made = {
            "I": lambda: nir.I(**r),
            "IF": lambda: nir.IF(**r, **fire),
            "LI": lambda: nir.LI(tau=tau[0], **r, **leak),
            "LIF": lambda: nir.LIF(tau=tau[0], **r, **leak, **fire),
            "CubaLI": lambda: nir.CubaLI(tau_syn=tau[0], tau_mem=tau[1], w_in=self.numbers(shape, 0.5, 2), **r, **leak),
            "CubaLIF": lambda: nir.CubaLIF(
                tau_syn=tau[0], tau_mem=tau[1], w_in=self.numbers(shape, 0.5, 2), **r, **leak, **fire
            ),
        }
        return made[kind](), shape

    def input(self, shape: tuple[int, ...]) -> tuple[Any, tuple[int, ...]]:
        return nir.Input({"input": np.array(shape)}), shape

    def output(self, shape: tuple[int, ...]) -> tuple[Any, tuple[int, ...]]:
        return nir.Output({"output": np.array(shape)}), shape

    def affine(self, shape: tuple[int, ...]) -> tuple[Any, tuple[int, ...]]:
        out = int(self.rng.integers(1, 7))
        own = shape[:-1] if self.rng.random() < 0.5 else ()
        bias = self.weights(*own, out) if self.rng.random() < 0.5 else self.weights(out)
        return nir.Affine(self.weights(*own, out, shape[-1]), bias), (*shape[:-1], out)

    def linear(self, shape: tuple[int, ...]) -> tuple[Any, tuple[int, ...]]:
        return nir.Linear(self.weights(shape[-1], shape[-1])), shape

    def conv2d(self, shape: tuple[int, ...]) -> tuple[Any, tuple[int, ...]]:
        kernel, stride, padding, dilation = (self.rng.integers(low, high, 2) for low, high in ((1, 4), (1, 4), (0, 3), (1, 3)))
        groups = int(self.rng.choice([n for n in (1, 2, 3) if shape[0] % n == 0]))
        out = groups * int(self.rng.integers(1, 4))
        size = (np.array(shape[1:]) + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        options = [tuple(int(n) for n in pair) for pair in (stride, padding, dilation)]
        if size.min() < 1 or self.rng.random() < 0.2:
            options, size = [(1, 1), "same", options[2]], np.array(shape[1:])
        node = nir.Conv2d(None, self.weights(out, shape[0] // groups, *kernel), *options, groups, self.weights(out))
        return node, (out, *(int(n) for n in size))

    def conv1d(self, shape: tuple[int, ...]) -> tuple[Any, tuple[int, ...]]:
        stride, out = int(self.rng.integers(1, 3)), int(self.rng.integers(1, 4))
        size = (shape[1] + 2 - 2 * (3 - 1) - 1) // stride + 1
        if size < 1:
            return self.linear(shape)
        return nir.Conv1d(None, self.weights(out, shape[0], 3), stride, 1, 2, 1, self.weights(out)), (out, size)

    def pool(self, shape: tuple[int, ...]) -> tuple[Any, tuple[int, ...]]:
        kernel, stride = self.rng.integers(1, 3, 2), self.rng.integers(1, 3, 2)
        padding = self.rng.integers(0, kernel // 2 + 1)
        size = (np.array(shape[1:]) + 2 * padding - kernel) // stride + 1
        if size.min() < 1:
            return self.scale(shape)
        kind = nir.SumPool2d if self.rng.random() < 0.5 else nir.AvgPool2d
        return kind(kernel, stride, padding), (shape[0], *(int(n) for n in size))

    def flatten(self, shape: tuple[int, ...]) -> tuple[Any, tuple[int, ...]]:
        return nir.Flatten({"input": np.array(shape)}, 0, -1), (int(np.prod(shape)),)

    def scale(self, shape: tuple[int, ...]) -> tuple[Any, tuple[int, ...]]:
        return nir.Scale(self.numbers(shape, -1, 2)), shape

    def threshold(self, shape: tuple[int, ...]) -> tuple[Any, tuple[int, ...]]:
        return nir.Threshold(self.numbers(shape, -0.1, 0.5)), shape

    def delay(self, shape: tuple[int, ...]) -> tuple[Any, tuple[int, ...]]:
        return nir.Delay(self.numbers(shape, self.rng.choice([0, DT]), 4 * DT)), shape

    def network(self) -> hardware.Network:
        metadata = {"dt": DT} | dict(self.semantics)
        units = {n: 64.0 for n, node in self.nodes.items() if type(node).__name__ in ("IF", "LIF") and self.rng.random() < 0.3}
        metadata |= {"fixed_point": units}
        return hardware.load(nir.NIRGraph(self.nodes, self.edges, metadata=metadata, type_check=False))


@st.composite
def networks(draw: st.DrawFn) -> tuple[hardware.Network, dict[str, np.ndarray]]:
    """A random network and input for it."""
    semantics = {
        "discretization": draw(st.sampled_from(["euler", "exponential"])),
        "reset": draw(st.sampled_from(["zero", "subtract"])),
        "comparison": draw(st.sampled_from([">", ">="])),
        "recurrent_input_at_start": draw(st.booleans()),
        "output_delay": draw(st.integers(0, 2)),
    }
    made = Random(draw(st.integers(0, 2**32 - 1)), semantics)
    shape = draw(st.sampled_from([(3,), (300,), (2, 9), (2, 3, 3), (6, 5, 4), (4, 9, 8), (1, 20, 21)]))
    inputs = [made.add("Input", shape) for _ in range(draw(st.integers(1, 2)))]
    last = made.add(draw(st.sampled_from(["Scale", *NEURONS])), shape, *inputs)
    for _ in range(draw(st.integers(1, 5))):
        rank = len(made.shapes[last])
        weights = {1: ["Affine", "Linear"], 2: ["Affine", "Conv1d"], 3: ["Conv2d", "Conv2d", "Pool", "Pool", "Affine"]}[rank]
        kind = draw(st.sampled_from([*weights, *weights, *NEURONS, "Scale", "Threshold", "Delay", "Flatten"]))
        same = [name for name, of in made.shapes.items() if of == made.shapes[last]]
        more = draw(st.sampled_from(same)) if draw(st.integers(0, 4)) == 0 else None
        last = made.add(kind, shape, last, *([more] if more else []))
        if kind in NEURONS and draw(st.booleans()):
            back = draw(st.sampled_from(["Linear", "Scale", "Delay", None]))
            made.edges.append((made.add(back, shape, last) if back else last, last))
    same = [name for name, of in made.shapes.items() if of == made.shapes[last]]
    made.add("Output", shape, last)
    if draw(st.booleans()):
        made.add("Output", shape, last, draw(st.sampled_from(same)))
    steps, samples = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    values = {}
    for name in inputs:
        full = (steps, samples, *shape)
        values[name] = made.rng.random(full) < draw(st.sampled_from([0.05, 0.4]))
        if draw(st.booleans()):
            values[name] = (values[name] * made.rng.normal(0, 1, full)).astype(draw(st.sampled_from([np.float32, np.float64])))
        if draw(st.booleans()):
            values[name][1:] = values[name][0]  # an image that is held, changed once
            values[name][draw(st.integers(0, steps - 1))] *= draw(st.booleans())
    return made.network(), values


def assert_same(one: Activity, other: Activity) -> None:
    """Every bit the same, the sign of a zero too."""
    for a, b in ((one.spikes, other.spikes), (one.rates, other.rates), *((one.states[s], other.states[s]) for s in one.states)):
        assert a.keys() == b.keys()
        for name, values in a.items():
            assert values.dtype == b[name].dtype
            assert values.tobytes() == b[name].tobytes() or _equal_with_nan(values, b[name]), name
    assert one.states.keys() == other.states.keys()


def _equal_with_nan(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.isnan(a).any() and np.array_equal(a, b, equal_nan=True))


@settings(max_examples=200, deadline=None)
@given(networks(), st.sampled_from([np.float32, np.float64]))
def test_no_bit_differs_from_the_reference(made: tuple[hardware.Network, dict[str, np.ndarray]], dtype: Any) -> None:
    network, spikes = made
    expected = reference.run(network, checked(network, spikes), ALL, np.dtype(dtype))
    assert_same(simulate_network(network, spikes, record=ALL, dtype=dtype), expected)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["Conv2d", "Conv1d", "Affine", "Linear", "Pool"]), st.integers(0, 2**32 - 1))
def test_sums_add_up_in_the_order_that_the_reference_tells(kind: str, seed: int) -> None:
    made = Random(seed, {})
    shape = {"Conv1d": (3, 30), "Affine": (3, 40), "Linear": (40,)}.get(kind, (6, 7, 9))
    made.add("Output", shape, made.add(kind, shape, made.add("Input", shape)))
    network, values = made.network(), made.rng.normal(size=(1, 2, *shape)) * (made.rng.random((1, 2, *shape)) < 0.7)
    for dtype in (np.float32, np.float64):  # in double precision every other order would show
        expected = reference.run(network, checked(network, values), (), np.dtype(dtype))
        assert_same(simulate_network(network, values, record=(), dtype=dtype), expected)


@settings(max_examples=40, deadline=None)
@given(networks(), st.integers(1, 3), st.data())
def test_nothing_depends_on_threads_batches_memory_or_the_other_samples(
    made: tuple[hardware.Network, dict[str, np.ndarray]], threads: int, data: st.DataObject
) -> None:
    network, spikes = made
    many = {name: np.concatenate([values] * 5, axis=1) for name, values in spikes.items()}
    alone = simulate_network(network, spikes, record=ALL, threads=1)
    asked: list[int] = []

    def told(_stage: str, done: int, of: int) -> None:
        asked.append(done)
        assert of == 5 * alone.samples

    with pytest.raises(InputError, match="memory") as refused:
        simulate_network(network, many, record=ALL, memory=0)
    kept = int(str(refused.value).split("the result (")[1].split()[0])
    memory = kept + data.draw(st.integers(2**18, 2**20))
    together = simulate_network(network, many, record=ALL, threads=threads, memory=memory, progress=told)
    assert asked[-1] == 5 * alone.samples
    for i in range(5):
        part = slice(i * alone.samples, (i + 1) * alone.samples)
        for name, values in alone.spikes.items():
            np.testing.assert_array_equal(together.spikes[name][:, part], values)
        for state, of in alone.states.items():
            for name, values in of.items():
                np.testing.assert_array_equal(together.states[state][name][:, part], values)
        for name, values in alone.rates.items():
            np.testing.assert_array_equal(together.rates[name][part], values)


def small(weight: np.ndarray) -> hardware.Network:
    """input -> weights -> output."""
    ends = {
        "input": nir.Input({"input": np.array(weight.shape[1:])}),
        "output": nir.Output({"output": np.array(weight.shape[:1])}),
    }
    edges = [("input", "w"), ("w", "output")]
    return hardware.load(nir.NIRGraph({**ends, "w": nir.Linear(weight)}, edges, metadata={"dt": DT}, type_check=False))


@pytest.mark.parametrize("zeros", [1, 40])
def test_zero_weights_are_no_synapses_even_for_infinite_values(zeros: int) -> None:
    made = Random(0, {})
    rows = made.add("Scale", (2,), made.add("Scale", (2,), made.add("Input", (2,))))
    for name in list(made.nodes)[1:]:
        made.nodes[name] = nir.Scale(np.array([3e38, 1], np.float32))
    made.add("Output", (2,), made.add("Linear", (2,), rows))
    weight = np.zeros((zeros + 1, 2), np.float32)
    weight[-1], weight[0, 1] = 1, 1
    made.nodes["n3"], made.nodes["n4"] = nir.Linear(weight), nir.Output({"output": np.array([zeros + 1])})
    network = made.network()
    with np.errstate(all="ignore"):
        expected = reference.run(network, {"n0": np.full((1, 1, 2), 9.0)}, (), np.dtype(np.float32))
    sent = simulate_network(network, np.full((1, 1, 2), 9.0)).spikes["n4"][0, 0]
    np.testing.assert_array_equal(sent, expected.spikes["n4"][0, 0])
    assert sent[0] == 9
    assert np.isinf(sent[-1])


def test_a_float_rate_does_not_depend_on_how_many_there_are() -> None:
    values = np.random.default_rng(0).normal(size=(1000, 4, 1)).astype(np.float32)
    network = small(np.ones((1, 1), np.float32))
    alone = [simulate_network(network, values[:, i : i + 1]).rates["output"].item() for i in range(4)]
    assert simulate_network(network, values).rates["output"].ravel().tolist() == alone


def test_tables_follow_the_network() -> None:
    own = np.ones((1, 1), np.float32)
    network, one = small(own), np.ones((1, 1, 1), bool)

    def sent() -> float:
        return float(simulate_network(network, one).spikes["output"].item())

    assert sent() == 1
    own[:] = 2  # the caller's array; the network has its own
    assert sent() == 1
    with pytest.raises(ValueError, match="read-only"):
        network.nodes["w"].weight[:] = 2
    network.nodes["w"].weight = own
    assert sent() == 2
    own[:] = 3  # an array that can be written is looked at every time
    assert sent() == 3


def test_memory_is_bounded() -> None:
    rng = np.random.default_rng(0)
    network = small(rng.normal(size=(300, 200)).astype(np.float32) * (rng.random((300, 200)) < 0.05))
    spikes = rng.random((20, 200, 200)) < 0.05
    simulate_network(network, spikes[:, :1])  # tables and kernel
    result = 20 * 200 * 300 * 4 + 200 * 300 * 4
    for memory in (result + 2**17, result + 2**22):
        tracemalloc.start()
        simulate_network(network, spikes, threads=2, memory=memory)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak <= memory + 2**16
    with pytest.raises(InputError, match="and one sample"):
        simulate_network(network, spikes, memory=result)


def test_numba_is_not_needed_before_the_first_run() -> None:
    code = "import sys, filopodia.hardware.network.simulate; print({'numba', 'torch'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "set()"
