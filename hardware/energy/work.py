"""Work: what an ANN of the same topology does per inference, of a program (as compiled) or of a network (as trained)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from filopodia.hardware.energy.fanout import Which, conv_fanout, image_shape, synapses_of
from filopodia.hardware.network.build import same_padding
from filopodia.hardware.network.network import Network
from filopodia.hardware.program import Conv, Dense, Program

BOTH: tuple[Which, Which] = ("dense", "nonzero")
NEURONS = ("IF", "LIF", "CubaLIF", "LI", "CubaLI", "I", "Threshold")


@dataclass(frozen=True)
class Work:
    """What an ANN of a topology does per inference.

    `layers`: by connection of a program or linear node of a network, (all multiply-accumulates, those with a non-zero weight).
    `dense_macs`: multiply-accumulates of the unpruned layers (padding not counted); `macs`: those with a non-zero weight.
    `weights`, `nonzero_weights`: parameters, shared ones once. `activations`: values the layers put out; `inputs`: values read.
    """

    layers: Mapping[str, tuple[int, int]]
    dense_macs: int
    macs: int
    weights: int
    nonzero_weights: int
    activations: int
    inputs: int


def work(source: Program | Network) -> Work:
    """Multiply-accumulates (padding not counted), weights and activations. Pooling is additions, which are not counted."""
    if isinstance(source, Network):
        return _of_network(source)
    return _of_program(source)


def _of_program(program: Program) -> Work:
    """A connection stored as lists of synapses stands for a full matrix."""
    per: dict[str, tuple[int, int]] = {}
    weights = nonzero = 0
    for connection in program.connections:
        shape, synapses = program.nodes[connection.source].shape, connection.synapses
        dense = synapses_of(synapses, shape, "dense")
        per[connection.name] = (dense, synapses_of(synapses, shape, "nonzero"))
        stored = synapses.weight if isinstance(synapses, Dense | Conv) else synapses.data
        weights += stored.size if isinstance(synapses, Dense | Conv) else dense
        nonzero += int(np.count_nonzero(stored))
    outputs, inputs = sum(layer.size for layer in program.layers), sum(node.size for node in program.inputs)
    return _summed(per, weights, nonzero, outputs, inputs)


def _of_network(network: Network) -> Work:
    per: dict[str, tuple[int, int]] = {}
    weights = nonzero = 0
    for name, node in network.nodes.items():
        weight = getattr(node, "weight", None)
        if weight is None:
            continue
        present = (np.asarray(weight) != 0).astype(np.int16)
        (shape,) = {network.shapes[sender] for sender in network.sources(name)}
        per[name] = (present.size, int(present.sum()))
        if present.ndim > 2:
            conv, source = _convolution(node, present), image_shape(shape)
            c, y, x = (axis.ravel() for axis in np.indices(image_shape(network.shapes[name])))
            counted = [int(conv_fanout(conv, source, c, y, x, which).sum()) for which in BOTH]
            per[name] = (counted[0], counted[1])
        weights += present.size
        nonzero += int(present.sum())
    sizes = {name: int(np.prod(network.shapes[name], dtype=np.int64)) for name in network.nodes}
    outputs = sum(sizes[name] for name, node in network.nodes.items() if type(node).__name__ in NEURONS)
    return _summed(per, weights, nonzero, outputs, sum(sizes[name] for name in network.inputs))


def _convolution(node: Any, present: Any) -> Conv:
    """A convolution of one or two dimensions; one-dimensional ones have height 1. Padding is what comes before an axis."""
    kernel = present if present.ndim == 4 else present[:, :, None, :]
    flat = present.ndim == 3

    def pair(value: Any, other: int) -> tuple[int, int]:
        both = [int(x) for x in np.atleast_1d(value)]
        if flat:
            return other, both[-1]
        return both[0], both[-1]

    dilation, stride = pair(node.dilation, 1), pair(node.stride, 1)
    if isinstance(node.padding, str):
        both = same_padding(kernel.shape[2:], dilation) if node.padding == "same" else ((0, 0), (0, 0))
        padding = (both[0][0], both[1][0])
    else:
        padding = pair(node.padding, 0)
    return Conv(kernel, stride, padding, dilation, int(node.groups))


def _summed(per: Mapping[str, tuple[int, int]], weights: int, nonzero: int, activations: int, inputs: int) -> Work:
    dense, some = sum(all_ for all_, _ in per.values()), sum(present for _, present in per.values())
    return Work(per, dense, some, weights, nonzero, activations, inputs)
