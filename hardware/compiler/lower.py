"""Lowering: a network's nodes become populations of neurons joined by linear maps, and every bias finds its neurons.

Before: NIR nodes, neurons and linear nodes mixed. After: each linear node has been composed into the maps that run from a
spike's source (an input or a population) to the next population; constants have been carried along to the population's bias,
or to a neuron that always fires where a bias cannot hold them; the neuron's gain is in the weights. An output without neurons
gets some that add it up. What the network computes has not changed, floats aside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.errors import InputError, UnsupportedError
from filopodia.hardware.compiler import maps
from filopodia.hardware.compiler.linear import LINEAR, image
from filopodia.hardware.compiler.maps import ConvMap, DiagonalMap, LinearMap, MatrixMap
from filopodia.hardware.compiler.neurons import NEURONS, SPIKING, Population, accumulator, always_on, population
from filopodia.hardware.network.network import Network

Shape = tuple[int, ...]

ALWAYS_ON = "always_on"

SAMPLE = 4096


@dataclass(frozen=True, eq=False)
class Projection:
    """A linear map from an input or population to a population; `steps` is how many steps of sample time it takes."""

    source: str
    target: str
    map: LinearMap
    steps: int = 0

    @cached_property
    def largest(self) -> float:
        """The largest magnitude of a weight."""
        return maps.largest(self.map)

    @cached_property
    def sample(self) -> NDArray[np.float64]:
        """At most SAMPLE non-zero weights, evenly spaced through the map's own layout."""
        values = maps.weights(self.map).reshape(-1)
        values = values[values != 0]
        return np.asarray(values[:: max(1, -(-len(values) // SAMPLE))], np.float64)


@dataclass(frozen=True, eq=False)
class Lowered:
    """Populations in topological order, the projections between them, and which populations are read out, per output."""

    inputs: Mapping[str, Shape]
    populations: Mapping[str, Population]
    projections: tuple[Projection, ...]
    outputs: Mapping[str, str]

    def shape(self, name: str) -> Shape:
        """Shape of an input or a population."""
        return self.inputs[name] if name in self.inputs else self.populations[name].shape

    def into(self, name: str) -> tuple[Projection, ...]:
        return tuple(p for p in self.projections if p.target == name)


@dataclass(frozen=True, eq=False)
class _Signal:
    """What a node hands out: maps by source and steps taken, and constants (flat float64) by the step they begin with."""

    paths: Mapping[tuple[str, int], LinearMap] = field(default_factory=dict)
    constants: Mapping[int, NDArray[np.float64]] = field(default_factory=dict)


def lower(network: Network) -> Lowered:
    """Every neuron node with what reaches it. Raises UnsupportedError or InputError naming the node."""
    walk = _Walk(network)
    populations: dict[str, Population] = {}
    projections: list[Projection] = []
    for name, node in network.nodes.items():
        if type(node).__name__ in NEURONS:
            made = population(name, node, tuple(network.shapes[name]), network.semantics)
            _add(made, walk.arriving(name), network, populations, projections)
    outputs: dict[str, str] = {}
    for output in network.outputs:
        outputs[output] = _read_out(network, walk, output, populations, projections)
    if ALWAYS_ON in populations:
        populations = {ALWAYS_ON: populations[ALWAYS_ON]} | populations
    return Lowered({name: tuple(network.shapes[name]) for name in network.inputs}, populations, tuple(projections), outputs)


def _add(
    made: Population,
    arriving: _Signal,
    network: Network,
    populations: dict[str, Population],
    projections: list[Projection],
) -> None:
    """A population, what projects to it, and its constants as bias or as weights of the neuron that always fires."""
    for steps, constant in arriving.constants.items():
        gained = np.broadcast_to(made.gain * constant, (made.size,))
        if steps == 0 and np.all(made.keep_u == 0):
            made = replace(made, bias=_uniform(made.bias + gained))
        elif np.any(gained):
            populations.setdefault(ALWAYS_ON, always_on(ALWAYS_ON))
            projections.append(Projection(ALWAYS_ON, made.name, MatrixMap(gained[:, None].astype(np.float64)), steps))
    populations[made.name] = made
    settled: dict[tuple[int, Shape], LinearMap] = {}
    for (source, steps), map_ in arriving.paths.items():
        key = (id(map_), tuple(network.shapes[source]))
        if key not in settled:
            settled[key] = _settled(maps.scale_targets(map_, made.gain), key[1], f"{source} -> {made.name}")
        projections.append(Projection(source, made.name, settled[key], steps))


def _read_out(
    network: Network, walk: _Walk, output: str, populations: dict[str, Population], projections: list[Projection]
) -> str:
    """The population that shows an output: the neurons it comes from, or new ones that add up what is no spike."""
    name = output
    while type(network.nodes[name]).__name__ in ("Output", "Flatten"):
        sources = network.sources(name)
        if len(sources) != 1:
            break
        name = sources[0]
    if name in populations:
        return name
    kind = type(network.nodes[name]).__name__
    if kind == "Input":
        raise UnsupportedError("the output shows the input itself", where=output, allowed="at least one layer of neurons")
    made = accumulator(name, tuple(network.shapes[name]))
    signal = walk.arriving(name) if kind in ("Output", "Flatten") else walk.signal(name, ())
    _add(made, signal, network, populations, projections)
    return name


class _Walk:
    """Signals of a network's nodes, each worked out once."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.feedback = set(network.feedback)
        self.silent = frozenset() if network.semantics.recurrent_input_at_start else _only_recurrent(network)
        self.signals: dict[str, _Signal] = {}
        for name, node in network.nodes.items():
            if name in network.inputs or type(node).__name__ in NEURONS:
                self.signals[name] = _Signal({(name, 0): maps.IDENTITY})

    def arriving(self, name: str, asked: tuple[str, ...] = ()) -> _Signal:
        """The sum over the edges into a node; a feedback edge takes a step."""
        parts = []
        for source in self.network.sources(name):
            signal = self.signal(source, (*asked, name))
            if (source, name) in self.feedback:
                signal = _later(signal, 1)
            if (
                type(self.network.nodes[source]).__name__ in NEURONS
                and type(self.network.nodes[source]).__name__ not in SPIKING
            ):
                self._refuse_voltage(source, name)
            parts.append(signal)
        return _sum(parts, self.network)

    def signal(self, name: str, asked: tuple[str, ...]) -> _Signal:
        """What a node hands out. `asked` are the nodes that are waiting for it."""
        if name in self.signals:
            return self.signals[name]
        if name in asked:
            loop = " -> ".join((*asked[asked.index(name) :], name))
            raise InputError(f"a loop without a neuron: {loop}", where=name, fix="put a neuron into the loop")
        arriving = self.arriving(name, asked)
        node = self.network.nodes[name]
        sources = self.network.sources(name)
        shape = tuple(self.network.shapes[sources[0]]) if sources else ()
        kind = type(node).__name__
        if kind == "Delay":
            self.signals[name] = _delayed(node, arriving, self.network, int(np.prod(shape, dtype=np.int64)))
        elif kind in LINEAR:
            signal = _through(LINEAR[kind](node, name, shape), arriving)
            own = _bias(node, tuple(self.network.shapes[name]))
            if own is not None:
                signal = _sum([signal, _Signal({}, {int(name in self.silent): own})], self.network)
            self.signals[name] = signal
        else:
            known = ", ".join(sorted((*LINEAR, *NEURONS, "Delay", "Input", "Output")))
            raise UnsupportedError(f"no way to compile a {kind} node", where=name, allowed=known)
        return self.signals[name]

    def _refuse_voltage(self, source: str, name: str) -> None:
        target = self.network.nodes[name]
        if type(target).__name__ in ("Output", "Flatten"):
            return
        raise UnsupportedError(
            f"{name} reads the voltage of {source}, which sends no spikes",
            where=source,
            allowed="I, LI and CubaLI at an output",
            fix="give the neurons a threshold, or read them out",
        )


def _through(map_: LinearMap, arriving: _Signal) -> _Signal:
    """A map applied to every path and constant; paths that are one map stay one."""
    composed = {id(path): maps.compose(map_, path) for path in arriving.paths.values()}
    paths = {key: composed[id(path)] for key, path in arriving.paths.items()}
    return _Signal(paths, {step: maps.apply(map_, constant) for step, constant in arriving.constants.items()})


def _delayed(node: Any, arriving: _Signal, network: Network, size: int) -> _Signal:
    """A Delay node; neurons with other delays take other paths."""
    dt = network.semantics.dt
    steps = np.broadcast_to(np.rint(np.asarray(node.delay, np.float64) / dt).astype(np.int64).reshape(-1), (size,))
    parts = []
    for each in np.unique(steps):
        mask = DiagonalMap(np.ones(()) if np.all(steps == each) else (steps == each).astype(np.float64))
        parts.append(_later(_through(mask, arriving), int(each)))
    return _sum(parts, network)


def _later(signal: _Signal, steps: int) -> _Signal:
    return _Signal(
        {(source, taken + steps): map_ for (source, taken), map_ in signal.paths.items()},
        {begun + steps: constant for begun, constant in signal.constants.items()},
    )


def _sum(signals: Sequence[_Signal], network: Network) -> _Signal:
    """Edges into one node sum: one map per source and number of steps, one constant per step it begins with."""
    paths: dict[tuple[str, int], LinearMap] = {}
    constants: dict[int, NDArray[np.float64]] = {}
    for signal in signals:
        for key, map_ in signal.paths.items():
            size = int(np.prod(network.shapes[key[0]], dtype=np.int64))
            paths[key] = maps.add(paths[key], map_, size) if key in paths else map_
        for step, constant in signal.constants.items():
            constants[step] = constants[step] + constant if step in constants else constant
    return _Signal(paths, constants)


def _bias(node: Any, target: Shape) -> NDArray[np.float64] | None:
    """A node's own bias, flat, one per neuron; None where there is none or it is zero throughout."""
    bias = getattr(node, "bias", None)
    if bias is None or not np.any(bias):
        return None
    own = np.asarray(bias, np.float64)
    if own.ndim == 1 and len(target) > 1 and own.shape != target and own.shape[0] == target[0]:
        own = own.reshape(-1, *[1] * (len(target) - 1))  # one per channel
    return np.broadcast_to(own, target).reshape(-1)


def _only_recurrent(network: Network) -> frozenset[str]:
    """Linear nodes that hear of nothing but neurons' last step: on some platforms silent in the first step."""
    feedback, found = set(network.feedback), set[str]()
    for name, node in network.nodes.items():
        if type(node).__name__ in LINEAR and all((s, name) in feedback or s in found for s in network.sources(name)):
            found.add(name)
    return frozenset(found)


def identity(shape: Shape) -> LinearMap:
    """Each neuron to its like."""
    return _settled(maps.IDENTITY, shape, "identity")


def _settled(map_: LinearMap, source: Shape, where: str) -> LinearMap:
    """A map in the form that is quantised: weights finite, a diagonal as a convolution or matrix, rows in order."""
    bad = int(np.sum(~np.isfinite(maps.weights(map_))))
    if bad:
        raise InputError(f"{bad} weights that are not finite", where=where, allowed="numbers")
    if isinstance(map_, DiagonalMap):
        channels = maps.per_channel(map_.scale, source)
        if 1 < len(source) < 4 and channels is not None:
            weight = channels.astype(np.float64)[:, None, None, None]
            shape = image(source, where)
            return ConvMap(weight, (1, 1), (0, 0), (1, 1), shape[0], shape, shape)
        return MatrixMap(maps.matrix(map_, int(np.prod(source, dtype=np.int64))))
    if isinstance(map_, MatrixMap) and not isinstance(map_.weight, np.ndarray):
        ordered = map_.weight.copy()
        ordered.sum_duplicates()
        ordered.eliminate_zeros()
        return MatrixMap(ordered)
    return map_


def _uniform(values: NDArray[np.float64]) -> NDArray[np.float64]:
    values = np.asarray(values, np.float64)
    return values.reshape(-1)[0].reshape(()) if values.size and np.all(values == values.flat[0]) else values
