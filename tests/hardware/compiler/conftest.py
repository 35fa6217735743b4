"""Small networks by hand, and a second, naive way to run them in floats: node by node, window by window."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import nir
import numpy as np
import pytest

from filopodia.hardware.network.network import Network, Semantics


def _shape(node: Any, source: tuple[int, ...]) -> tuple[int, ...]:
    with np.errstate(invalid="ignore"):
        return _run_node(node, np.zeros(source)).shape


def _run_node(node: Any, x: np.ndarray) -> np.ndarray:
    kind = type(node).__name__
    if kind in ("Affine", "Linear"):
        return node.weight @ x + (node.bias if kind == "Affine" else 0)
    if kind == "Flatten":
        return x.reshape(-1)
    if kind == "Scale":
        return x * node.scale
    if kind in ("Conv1d", "Conv2d"):
        image, kernel = (x, node.weight) if kind == "Conv2d" else (x[:, None], node.weight[:, :, None])
        pairs = [p if isinstance(p, tuple) else (p, p) for p in (node.stride, node.padding, node.dilation)]
        if kind == "Conv1d":
            pairs = [(1, pairs[0][1]), (0, pairs[1][1]), (1, pairs[2][1])]
        y = _convolve(image, kernel, *pairs, node.groups) + node.bias[:, None, None]
        return y if kind == "Conv2d" else y[:, 0]
    if kind in ("AvgPool2d", "SumPool2d"):
        area = np.prod(node.kernel_size) if kind == "AvgPool2d" else 1
        kernel = np.full((len(x), 1, *node.kernel_size), 1 / area)
        return _convolve(x, kernel, tuple(node.stride), tuple(node.padding), (1, 1), len(x))
    return x  # neurons, inputs and outputs keep the shape


def _convolve(x: np.ndarray, weight: np.ndarray, stride: tuple, padding: tuple, dilation: tuple, groups: int) -> np.ndarray:
    x = np.pad(x, ((0, 0), (padding[0],) * 2, (padding[1],) * 2))
    outs, ins = len(weight) // groups, len(x) // groups
    size = [(x.shape[1 + i] - dilation[i] * (weight.shape[2 + i] - 1) - 1) // stride[i] + 1 for i in range(2)]
    y = np.zeros((len(weight), *size))
    for o, i, j in np.ndindex(*y.shape):
        part = x[o // outs * ins : (o // outs + 1) * ins, i * stride[0] :, j * stride[1] :][:, :: dilation[0], :: dilation[1]]
        y[o, i, j] = np.sum(part[:, : weight.shape[2], : weight.shape[3]] * weight[o])
    return y


@pytest.fixture
def make_network() -> Callable[..., Network]:
    """A network from nodes, edges (a chain when left out) and input shape; shapes inferred naively."""

    def make(
        nodes: dict[str, Any],
        shape: tuple[int, ...],
        edges: list[tuple[str, str]] | None = None,
        metadata: dict[str, Any] | None = None,
        **semantics: Any,
    ) -> Network:
        every = {"input": nir.Input({"input": np.array(shape)}), **nodes, "output": nir.Output({"output": np.array([1])})}
        names = list(every)
        edges = edges or list(pairwise(names))
        shapes: dict[str, tuple[int, ...]] = {"input": shape}
        for name in names[1:]:
            source = next(s for s, t in edges if t == name and s in shapes)
            shapes[name] = _shape(every[name], shapes[source])
        given = Semantics(**({"dt": 1e-3} | semantics))
        return Network(every, tuple(edges), shapes, ("input",), ("output",), given, metadata or {})

    return make


@pytest.fixture
def run_floats() -> Callable[..., dict[str, np.ndarray]]:
    """Spikes of every neuron node [T, N, *shape] from spikes [T, N, *input shape], in float64: Euler, v > threshold."""

    def run(network: Network, spikes: np.ndarray) -> dict[str, np.ndarray]:
        steps, samples = spikes.shape[:2]
        dt = network.semantics.dt
        neurons = [n for n, node in network.nodes.items() if hasattr(node, "v_threshold")]
        result = {n: np.zeros((steps, samples, *network.shapes[n]), bool) for n in neurons}
        order = list(network.nodes)
        for k in range(samples):
            v = {n: np.zeros(network.shapes[n]) for n in neurons}
            values = {n: np.zeros(network.shapes[n]) for n in order}
            for t in range(steps):
                for name in order:
                    node = network.nodes[name]
                    if name == "input":
                        values[name] = spikes[t, k].astype(float)
                        continue
                    x = sum((values[s] for s in network.sources(name)), start=0.0)
                    if name in v:
                        tau = getattr(node, "tau", None)
                        if tau is None:
                            v[name] = v[name] + dt * node.r * x
                        else:
                            v[name] = v[name] + dt / tau * (node.v_leak - v[name] + node.r * x)
                        values[name] = (v[name] > node.v_threshold).astype(float)
                        v[name] = np.where(values[name] > 0, node.v_reset, v[name])
                        result[name][t, k] = values[name] > 0
                    else:
                        values[name] = _run_node(node, x)
        return result

    return run
