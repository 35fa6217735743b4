"""Lowering: a network's nodes become populations of neurons joined by linear maps, and every bias finds its neurons.

Before: NIR nodes, neurons and linear nodes mixed. After: each linear node has been composed into the maps that run from a
spike's source (an input or a population) to the next population; constants have been carried along to the population's bias,
and the neuron's gain is in the weights. What the network computes has not changed, floats aside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.errors import InputError, UnsupportedError
from filopodia.hardware.compiler import maps
from filopodia.hardware.compiler.maps import ConvMap, DiagonalMap, LinearMap, MatrixMap
from filopodia.hardware.compiler.neurons import Population, population
from filopodia.hardware.network.network import Network

NEURONS = ("IF", "LIF")
Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Projection:
    """A linear map from an input or population to a population; `steps` is how many steps of sample time it takes."""

    source: str
    target: str
    map: LinearMap
    steps: int = 0


@dataclass(frozen=True, eq=False)
class Lowered:
    """Populations in topological order, the projections between them, and which populations are read out."""

    inputs: dict[str, Shape]
    populations: dict[str, Population]
    projections: tuple[Projection, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Path:
    source: str
    map: LinearMap
    steps: int = 0


@dataclass(frozen=True, eq=False)
class _Signal:
    """What a node hands out: maps from where spikes come from, plus a constant (None or flat float64)."""

    paths: tuple[_Path, ...]
    constant: NDArray[np.float64] | None = None


def lower(network: Network) -> Lowered:
    """Every neuron node with what reaches it. Raises UnsupportedError or InputError naming the node."""
    order = {name: position for position, name in enumerate(network.nodes)}
    neurons = [name for name, node in network.nodes.items() if type(node).__name__ in NEURONS]
    signals: dict[str, _Signal] = {}
    for name in (*network.inputs, *neurons):
        signals[name] = _Signal((_Path(name, maps.IDENTITY),))
    populations: dict[str, Population] = {}
    projections: list[Projection] = []
    for name in neurons:
        made = population(name, network.nodes[name], tuple(network.shapes[name]), network.semantics)
        arriving = _sum([_signal(network, source, signals, (name,)) for source in network.sources(name)], name)
        recurrent = [path for path in arriving.paths if order[path.source] >= order[name]]
        if arriving.constant is not None:
            if recurrent and not network.semantics.recurrent_input_at_start:
                raise UnsupportedError(
                    "a bias that starts one step late, with the recurrent input",
                    where=name,
                    allowed="recurrent_input_at_start=True, or a recurrent layer without bias",
                )
            made = replace(made, bias=_uniform(made.bias + made.gain * arriving.constant))
        populations[name] = made
        for (source, steps), map_ in _merged(arriving.paths, network).items():
            gained = _settled(maps.scale_targets(map_, made.gain), tuple(network.shapes[source]), f"{source} -> {name}")
            projections.append(Projection(source, name, gained, steps + (order[source] >= order[name])))
    outputs = tuple(dict.fromkeys(_read_out(network, output) for output in network.outputs))
    return Lowered({name: tuple(network.shapes[name]) for name in network.inputs}, populations, tuple(projections), outputs)


def _signal(network: Network, name: str, signals: dict[str, _Signal], asked: tuple[str, ...]) -> _Signal:
    """The signal of a node, from its sources' signals."""
    if name in signals:
        return signals[name]
    if name in asked:
        loop = " -> ".join((*asked[asked.index(name) :], name))
        raise InputError(f"a cycle without a neuron: {loop}", where=name, fix="put a neuron or a delay into the loop")
    sources = network.sources(name)
    arriving = _sum([_signal(network, source, signals, (*asked, name)) for source in sources], name)
    shape = tuple(network.shapes[sources[0]]) if sources else ()
    signals[name] = _through(network.nodes[name], name, shape, tuple(network.shapes[name]), arriving)
    return signals[name]


def _through(node: Any, name: str, source: Shape, target: Shape, arriving: _Signal) -> _Signal:
    """A linear node applied to every path and to the constant."""
    kind = type(node).__name__
    make = LINEAR.get(kind)
    if make is None:
        raise UnsupportedError(
            f"no way to compile a {kind} node", where=name, allowed=", ".join(sorted((*LINEAR, *NEURONS, "Input", "Output")))
        )
    map_ = make(node, name, source)
    paths = tuple(replace(path, map=maps.compose(map_, path.map)) for path in arriving.paths)
    constant = None if arriving.constant is None else maps.apply(map_, arriving.constant)
    bias = getattr(node, "bias", None)
    if bias is not None and np.any(bias):
        own = np.asarray(bias, np.float64)
        if own.ndim == 1 and len(target) > 1 and own.shape != target:
            own = own.reshape(-1, *[1] * (len(target) - 1))  # one per channel
        own = np.broadcast_to(own, target).reshape(-1)
        constant = own if constant is None else constant + own
    return _Signal(paths, constant)


def _affine(node: Any, name: str, source: Shape) -> LinearMap:
    weight = np.asarray(node.weight)
    size = int(np.prod(source, dtype=np.int64))
    if weight.ndim != 2 or weight.shape[1] != size:
        raise InputError(f"weight of shape {list(weight.shape)} on {size} inputs", where=name, allowed=f"[n, {size}]")
    return MatrixMap(weight)


def _conv(node: Any, name: str, source: Shape) -> LinearMap:
    weight = np.asarray(node.weight)
    along, around = (1, 0) if weight.ndim == 3 else (None, None)  # a one-dimensional signal has height 1
    weight = weight[:, :, None, :] if weight.ndim == 3 else weight
    stride, dilation = _pair(node.stride, along), _pair(node.dilation, along)
    if isinstance(node.padding, str):
        same = tuple(dilation[i] * (weight.shape[2 + i] - 1) for i in range(2))
        if node.padding == "same" and any(total % 2 for total in same):
            raise UnsupportedError(
                'padding "same" with an even kernel: one side more than the other', where=name, fix="pad evenly"
            )
        padding = (same[0] // 2, same[1] // 2) if node.padding == "same" else (0, 0)
    else:
        padding = _pair(node.padding, around)
    image = _image(source, name)
    groups = int(node.groups)
    target = maps.conv_target(image, weight, stride, padding, dilation)
    if image[0] != weight.shape[1] * groups or weight.shape[0] % groups or min(target) < 1:
        raise InputError(f"weight {list(weight.shape)} in {groups} groups on an image {list(image)}", where=name)
    return ConvMap(weight, stride, padding, dilation, groups, image, target)


def _pool(average: bool) -> Callable[[Any, str, Shape], LinearMap]:
    def make(node: Any, name: str, source: Shape) -> LinearMap:
        kernel = _pair(node.kernel_size)
        value = 1 / (kernel[0] * kernel[1]) if average else 1.0
        return maps.box(_image(source, name), kernel, _pair(node.stride), _pair(node.padding), value)

    return make


def _scale(node: Any, name: str, source: Shape) -> LinearMap:
    scale = np.broadcast_to(np.asarray(node.scale, np.float64), source).reshape(-1)
    return DiagonalMap(_uniform(scale))


def _flatten(node: Any, name: str, source: Shape) -> LinearMap:
    return maps.IDENTITY


LINEAR: dict[str, Callable[[Any, str, Shape], LinearMap]] = {
    "Affine": _affine,
    "Linear": _affine,
    "Conv1d": _conv,
    "Conv2d": _conv,
    "SumPool2d": _pool(average=False),
    "AvgPool2d": _pool(average=True),
    "Scale": _scale,
    "Flatten": _flatten,
}


def _sum(signals: list[_Signal], name: str) -> _Signal:
    """Edges into one node sum."""
    constants = [signal.constant for signal in signals if signal.constant is not None]
    total = None if not constants else np.sum(constants, axis=0)
    return _Signal(tuple(path for signal in signals for path in signal.paths), total)


def _merged(paths: tuple[_Path, ...], network: Network) -> dict[tuple[str, int], LinearMap]:
    """One map per source and number of steps: paths that run side by side are added."""
    merged: dict[tuple[str, int], LinearMap] = {}
    for path in paths:
        key = (path.source, path.steps)
        size = int(np.prod(network.shapes[path.source], dtype=np.int64))
        merged[key] = maps.add(merged[key], path.map, size) if key in merged else path.map
    return merged


def _read_out(network: Network, output: str) -> str:
    """The population an output shows: through nodes that only reshape."""
    name = output
    while type(network.nodes[name]).__name__ in ("Output", "Flatten"):
        sources = network.sources(name)
        if len(sources) != 1:
            raise UnsupportedError(
                f"{len(sources)} edges into the output", where=output, allowed="one layer of neurons per output"
            )
        name = sources[0]
    if type(network.nodes[name]).__name__ not in NEURONS:
        raise UnsupportedError(
            f"the output shows the {type(network.nodes[name]).__name__} node {name}, which does not spike",
            where=output,
            allowed=", ".join(NEURONS),
            fix="end the network with a layer of neurons",
        )
    return name


def _settled(map_: LinearMap, source: Shape, where: str) -> LinearMap:
    """A map in the form that is quantised: weights finite, a diagonal as a convolution or matrix, rows in order."""
    bad = int(np.sum(~np.isfinite(maps.weights(map_))))
    if bad:
        raise InputError(f"{bad} weights that are not finite", where=where, allowed="numbers")
    if isinstance(map_, DiagonalMap):
        channels = maps.per_channel(map_.scale, source)
        if len(source) > 1 and channels is not None:
            image = _image(source, where)
            weight = channels.astype(np.float64)[:, None, None, None]
            return ConvMap(weight, (1, 1), (0, 0), (1, 1), image[0], image, image)
        return MatrixMap(maps.matrix(map_, int(np.prod(source, dtype=np.int64))))
    if isinstance(map_, MatrixMap) and not isinstance(map_.weight, np.ndarray):
        ordered = map_.weight.copy()
        ordered.sum_duplicates()
        ordered.eliminate_zeros()
        return MatrixMap(ordered)
    return map_


def _image(shape: Shape, name: str) -> maps.Shape3:
    if len(shape) == 3:
        return (shape[0], shape[1], shape[2])
    if len(shape) == 2:
        return (shape[0], 1, shape[1])
    raise InputError(f"a signal of shape {list(shape)}", where=name, allowed="[channels, height, width] or [channels, length]")


def _pair(value: Any, height: int | None = None) -> maps.Pair:
    """(height, width) of a setting; a single number holds for both, unless the height is given."""
    values = np.asarray(value).reshape(-1)
    if values.size == 2:
        return (int(values[0]), int(values[1]))
    return (int(values[0]) if height is None else height, int(values[0]))


def _uniform(values: NDArray[np.float64]) -> NDArray[np.float64]:
    values = np.asarray(values, np.float64)
    return values.reshape(-1)[0].reshape(()) if values.size and np.all(values == values.flat[0]) else values
