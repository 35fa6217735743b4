"""Random small NIR networks over every node and topology that the compiler takes, with input and ways to compile them.

Used by `make_lava_golden.py`, which runs them on Lava once compiled, and by the tests (loaded by path, as tests are no
package).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from filopodia import hardware
from filopodia.hardware.compiler.analog import Graded
from filopodia.hardware.network.network import Network
from filopodia.hardware.program import Program

DT = 1e-3

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Made:
    """A network, values [T, N, *shape] for each of its inputs, and options of `hardware.compile`."""

    network: Network
    values: dict[str, NDArray[Any]]
    options: dict[str, Any]


@dataclass
class Graph:
    """A NIR graph in the making: `last` is the node that the next stage hears, `spiking` the neurons so far with shapes."""

    rng: np.random.Generator
    nodes: dict[str, Any] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    spiking: dict[str, Shape] = field(default_factory=dict)
    count: int = 0

    def add(self, node: Any, *sources: str) -> str:
        """A node, named by its kind and a number, behind its sources."""
        self.count += 1
        name = f"{type(node).__name__.lower()}{self.count}"
        self.nodes[name] = node
        self.edges += [(source, name) for source in sources]
        return name

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def weight(self, *shape: int) -> NDArray[np.float32]:
        """Sparse weights of a size with which neurons of threshold 1 fire now and then."""
        density = self.rng.choice([0.3, 0.6, 1.0])
        inputs = max(1.0, density * np.prod(shape[1:]))
        values = self.rng.normal(0.3, 1.0, shape) / np.sqrt(inputs) * self.rng.choice([1.0, 2.0])
        return (values * (self.rng.random(shape) < density)).astype(np.float32)

    def bias(self, size: int) -> NDArray[np.float32]:
        return self.rng.normal(0.05, 0.1, size).astype(np.float32)


def make(seed: int) -> Made:
    """The network of a seed."""
    graph = Graph(np.random.default_rng(seed))
    rng = graph.rng
    flat = graph.chance(0.5)
    shape: Shape = (int(rng.integers(3, 9)),) if flat else (int(rng.integers(1, 4)), *(int(n) for n in rng.integers(5, 9, 2)))
    graph.nodes["input"] = nir.Input({"input": np.array(shape)})
    graded = graph.chance(0.2)
    last = "input"
    for _ in range(int(rng.integers(1, 5))):
        last, shape = _stage(graph, last, shape)
    second = len(shape) == 1 and graph.chance(0.2)
    if second:
        last, shape = _second_input(graph, last, shape)
    last = _read_out(graph, last, shape)
    graph.nodes["output"] = nir.Output({"output": np.array([1])})
    graph.edges.append((last, "output"))
    network = hardware.load(
        nir.NIRGraph(graph.nodes, graph.edges, type_check=False), dt=DT, comparison=str(rng.choice([">", ">="]))
    )
    late = sum(int(np.rint(node.delay.max() / DT)) for node in graph.nodes.values() if isinstance(node, nir.Delay))
    steps, samples = late + int(rng.choice([4, 8, 12])), int(rng.choice([1, 2]))
    values = {name: rng.random((steps, samples, *network.shapes[name])) < rng.choice([0.2, 0.5]) for name in network.inputs}
    options: dict[str, Any] = {"wide": [name for name in graph.spiking if graph.chance(0.1)]}
    if graded:
        values["input"] = values["input"] * rng.random(values["input"].shape)
        options["graded"] = {"input": Graded(bits=int(rng.choice([3, 8])))}
    if graph.chance(0.25) and not second:
        options["calibration"] = values
    return Made(network, values, options)


def compiled(seed: int) -> tuple[Program, dict[str, NDArray[Any]]]:
    """The network of a seed as an integer program for Loihi 2, and messages for it."""
    made = make(seed)
    program = hardware.compile(made.network, **made.options)
    return program, hardware.analog_messages(program, made.values)


def _stage(graph: Graph, last: str, shape: Shape) -> tuple[str, Shape]:
    """Something linear and neurons, with what may lie before, beside and around them."""
    before = last
    last, shape = _between(graph, last, shape)
    if len(shape) > 1 and graph.chance(0.35):
        last = graph.add(nir.Flatten({"input": np.array(shape)}, 0, -1), last)
        shape = (int(np.prod(shape)),)
    last, shape = _convolution(graph, last, shape) if len(shape) > 1 else _matrix(graph, last, shape)
    sources = [last]
    if graph.chance(0.3):
        sources += [name for name, known in graph.spiking.items() if known == shape and name != before][-1:]
    neurons = graph.add(_neurons(graph, shape), *sources)
    if len(shape) == 1 and graph.chance(0.25) and not isinstance(graph.nodes[neurons], nir.Threshold):
        back = graph.weight(shape[0], shape[0])
        recurrent = graph.add(nir.Affine(back, graph.bias(shape[0])) if graph.chance(0.5) else nir.Linear(back), neurons)
        graph.edges.append((recurrent, neurons))
    graph.spiking[neurons] = shape
    return neurons, shape


def _between(graph: Graph, last: str, shape: Shape) -> tuple[str, Shape]:
    """Scales, delays (beyond a synapse's now and then) and pooling, before the weights."""
    rng = graph.rng
    if graph.chance(0.15):
        per_channel = rng.uniform(0.5, 2.0, (shape[0], *[1] * (len(shape) - 1)))
        last = graph.add(nir.Scale(np.broadcast_to(per_channel, shape).astype(np.float32).copy()), last)
    if graph.chance(0.15) and last in graph.spiking:
        steps = rng.integers(0, 4, shape) if graph.chance(0.5) else np.full(shape, rng.choice([1, 2, 70, 130]))
        last = graph.add(nir.Delay((steps * DT).astype(np.float32)), last)
    elif len(shape) == 3 and min(shape[1:]) >= 4 and graph.chance(0.4):
        side = np.array([2, 2])
        if graph.chance(0.5):
            last = graph.add(nir.AvgPool2d(side, side, np.array([0, 0])), last)
        else:
            last = graph.add(nir.SumPool2d(side, side, np.array([0, 0])), last)
        shape = (shape[0], shape[1] // 2, shape[2] // 2)
        if isinstance(graph.nodes[last], nir.SumPool2d) and graph.edges[-1][0] in graph.spiking:
            last = graph.add(nir.Threshold(np.full(shape, 0.5, np.float32)), last)  # max-pooling of spikes
            graph.spiking[last] = shape
    return last, shape


def _convolution(graph: Graph, last: str, shape: Shape) -> tuple[str, Shape]:
    rng = graph.rng
    groups = int(shape[0]) if graph.chance(0.2) else 1
    out = groups * int(rng.integers(1, 4))
    kernel = tuple(int(k) for k in rng.integers(1, 1 + np.minimum(3, shape[1:])))
    stride, dilation = (tuple(int(n) for n in rng.choice([1, 1, 1, 2], 2)) for _ in range(2))
    dilation = tuple(d if d * (k - 1) < n else 1 for d, k, n in zip(dilation, kernel, shape[1:], strict=True))
    padding: Any = tuple(int(p) for p in rng.integers(0, 2, 2))
    if graph.chance(0.2):
        padding, stride = "same", (1, 1)
        size = shape[1:]
    else:
        size = tuple(
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, p, d, k, s in zip(shape[1:], padding, dilation, kernel, stride, strict=True)
        )
    weight = graph.weight(out, shape[0] // groups, *kernel)
    bias = graph.bias(out) if graph.chance(0.6) else np.zeros(out, np.float32)
    made = (out, *size)
    return graph.add(nir.Conv2d(shape[1:], weight, stride, padding, dilation, groups, bias), last), made


def _matrix(graph: Graph, last: str, shape: Shape) -> tuple[str, Shape]:
    known = [size for size in graph.spiking.values() if len(size) == 1]
    size = known[-1][0] if known and graph.chance(0.5) else int(graph.rng.integers(2, 12))
    weight = graph.weight(size, shape[0])
    node = nir.Affine(weight, graph.bias(size)) if graph.chance(0.6) else nir.Linear(weight)
    return graph.add(node, last), (size,)


def _neurons(graph: Graph, shape: Shape) -> Any:
    rng = graph.rng
    one, zero = np.ones(shape, np.float32), np.zeros(shape, np.float32)
    threshold = one * np.float32(rng.choice([0.4, 0.7, 1.0]))
    if graph.chance(0.2):
        threshold = (threshold * rng.uniform(0.7, 1.3, shape)).astype(np.float32)
    steps = float(rng.choice([2, 3.3, 10, 300]))
    tau = one * np.float32(steps * DT)
    kind = rng.choice(["if", "lif", "lif", "cuba", "threshold"])
    if kind in ("lif", "cuba"):
        threshold = (threshold * 2 / steps).astype(np.float32)  # they take in a share of 1 / steps
    if kind == "if":
        return nir.IF(one / np.float32(DT), threshold, zero)
    if kind == "lif":
        rest = zero + np.float32(rng.choice([0, 0, -0.1]))
        return nir.LIF(tau, one, rest, threshold, rest)
    if kind == "cuba":
        synaptic = one * np.float32(rng.choice([1, 2, 5]) * DT)
        return nir.CubaLIF(synaptic, tau, one, zero, threshold * np.float32(0.5), zero, one)
    return nir.Threshold(threshold)


def _second_input(graph: Graph, last: str, shape: Shape) -> tuple[str, Shape]:
    """Neurons that hear the network so far and an input of their own."""
    size = int(graph.rng.integers(2, 6))
    graph.nodes["beside"] = nir.Input({"input": np.array([size])})
    out = int(graph.rng.integers(2, 8))
    sources = [graph.add(nir.Linear(graph.weight(out, n)), name) for name, n in ((last, shape[0]), ("beside", size))]
    neurons = graph.add(_neurons(graph, (out,)), *sources)
    graph.spiking[neurons] = (out,)
    return neurons, (out,)


def _read_out(graph: Graph, last: str, shape: Shape) -> str:
    """Spikes as they are, a linear layer, or neurons that never fire."""
    kind = graph.rng.choice(["spikes", "spikes", "linear", "I", "LI", "CubaLI"])
    if kind == "spikes":
        return last
    size = int(np.prod(shape))
    if len(shape) > 1:
        last = graph.add(nir.Flatten({"input": np.array(shape)}, 0, -1), last)
    last = graph.add(nir.Affine(graph.weight(3, size), graph.bias(3)), last)
    one, zero = np.ones(3, np.float32), np.zeros(3, np.float32)
    tau = one * np.float32(5 * DT)
    nodes = {"I": nir.I(one / np.float32(DT)), "LI": nir.LI(tau, one, zero), "CubaLI": nir.CubaLI(tau, 2 * tau, one, zero)}
    return last if kind == "linear" else graph.add(nodes[kind], last)
