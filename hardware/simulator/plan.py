"""What the kernels need to know of a program before they see a spike: layouts, stages, bounds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.hardware.program import Connection, Conv, Input, Layer, Program, Sparse
from filopodia.hardware.simulator.geometry import Grid, grid, image
from filopodia.hardware.simulator.weights import acting

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Node:
    """Where an input's or a layer's spikes live. A node that no convolution touches is one place with all neurons as channels.

    `cum` is the number of 64-bit words of the nodes before it, `vectors` that of vectors (halo included); `grid` is
    the padded height and width around its places, `corner` the first place inside. Vectors lie channel after channel, so that
    neighbours in a row can be loaded together. Of a node that is read at every `pace`-th place of a row, those with the same
    remainder are neighbours.
    """

    name: str
    shape: tuple[int, ...]
    places: int
    channels: int
    words: int
    cum: int
    vectors: int
    width: int
    grid: tuple[int, int]
    corner: tuple[int, int]
    pace: int

    @property
    def size(self) -> int:
        return self.places * self.channels

    @property
    def padded(self) -> int:
        return self.places * self.words * 64

    @property
    def area(self) -> int:
        """Vectors per channel: the grid, made odd so that channels do not share the sets of a cache."""
        return self.grid[0] * self.grid[1] | 1

    @property
    def room(self) -> int:
        """Vectors, halo included."""
        return self.channels * self.area

    @cached_property
    def homes(self) -> Int64:
        """The vector of each place in the first channel, counted from the node's own first."""
        y, x = np.divmod(np.arange(self.places), self.width)
        return self.home(y + self.corner[0], x + self.corner[1])

    def home(self, y: Int64, x: Int64) -> Int64:
        """The vector of a place of the grid."""
        return y * self.grid[1] + x % self.pace * (self.grid[1] // self.pace) + x // self.pace

    @cached_property
    def halo(self) -> Int64:
        """The vectors around a channel's places."""
        return np.setdiff1d(np.arange(self.area), self.homes)

    @cached_property
    def neurons(self) -> Int64:
        """The vector of each neuron, in the user's order (channels first)."""
        return (self.homes[None, :] + self.area * np.arange(self.channels)[:, None]).reshape(-1)

    def by_place(self, x: NDArray[Any]) -> NDArray[Any]:
        """The last axis from the user's order (channels first) to place after place, channels last."""
        turned = x.reshape(*x.shape[:-1], self.channels, self.places).swapaxes(-1, -2)
        return np.ascontiguousarray(turned).reshape(x.shape)


def lay_out(program: Program) -> dict[str, Node]:
    """Nodes by name, inputs first, then layers in order."""
    halo: dict[str, tuple[int, int]] = {}
    paces: dict[str, set[int]] = {}
    for connection in program.connections:
        if isinstance(connection.synapses, Conv):
            top, left = connection.synapses.padding
            known = halo.get(connection.source, (0, 0))
            halo[connection.source] = (max(top, known[0]), max(left, known[1]))
            halo.setdefault(connection.target, (0, 0))
            paces.setdefault(connection.source, set()).add(connection.synapses.stride[1])
    nodes: dict[str, Node] = {}
    cum, vectors = 0, 0
    for name, node in program.nodes.items():
        if name in halo:
            channels, height, width = image(node.shape, name)
            padding = halo[name]
        else:
            channels, height, width, padding = node.size, 1, 1, (0, 0)
        words = -(-channels // 64)
        pace = min(paces[name]) if len(paces.get(name, ())) == 1 else 1
        padded = (height + 2 * padding[0], -(-(width + 2 * padding[1]) // pace) * pace)
        nodes[name] = Node(name, node.shape, height * width, channels, words, cum, vectors, width, padded, padding, pace)
        cum += height * width * words
        vectors += nodes[name].room
    return nodes


def layout(program: Program, connection: Connection) -> Grid:
    """Both sides of a convolution."""
    return grid(connection, program.nodes[connection.source].shape, program.nodes[connection.target].shape)


def stages(program: Program) -> tuple[tuple[int, int], ...]:
    """Layers [first, last) that must go step by step together: alone, or from the target to the source of a loop."""
    order = {layer.name: i for i, layer in enumerate(program.layers)}
    reach = list(range(len(program.layers)))
    for connection in program.connections:
        source, target = order.get(connection.source, -1), order[connection.target]
        if source >= target:
            reach[target] = max(reach[target], source)
    found: list[tuple[int, int]] = []
    first = 0
    while first < len(reach):
        last = first
        i = first
        while i <= last:
            last = max(last, reach[i])
            i += 1
        found.append((first, last + 1))
        first = last + 1
    return tuple(found)


def binary(program: Program, connection: Connection) -> bool:
    """Whether every message counts as 0 or 1."""
    source = program.nodes[connection.source]
    return connection.message_bits == 0 or not (isinstance(source, Input) and source.message_bits > 0)


def rows(connection: Connection) -> tuple[Int64, NDArray[np.integer], NDArray[np.int16]]:
    """Non-zero weights of a Dense or Sparse connection: row starts, source neurons, weights."""
    weight = acting(connection)
    if isinstance(connection.synapses, Sparse):
        sparse = connection.synapses
        keep = weight != 0
        starts = np.concatenate([[0], np.cumsum(keep)])[sparse.indptr]
        return starts, sparse.indices[keep], weight[keep]
    target, source = np.nonzero(weight)
    starts = np.concatenate([[0], np.cumsum(np.count_nonzero(weight, axis=1))])
    return starts, source, weight[target, source]


def largest_sum(connection: Connection) -> int:
    """The largest magnitude that a sum of weights of one target neuron can reach with binary messages."""
    weight = acting(connection)
    if isinstance(connection.synapses, Sparse):
        indptr = connection.synapses.indptr
        totals = []
        for sign in (1, -1):
            running = np.concatenate([[0], np.cumsum(np.maximum(sign * weight.astype(np.int64), 0))])
            totals.append((running[indptr[1:]] - running[indptr[:-1]]).max(initial=0))
        return int(max(totals))
    flat = weight.reshape(len(weight), -1)
    positive = np.maximum(flat, 0).sum(axis=1, dtype=np.int64)
    negative = flat.sum(axis=1, dtype=np.int64) - positive
    return int(max(positive.max(initial=0), -negative.min(initial=0)))


def trailing_zeros(*weights: NDArray[np.integer]) -> int:
    """Low bits that are 0 in every weight; 0 where all weights are 0."""
    union = 0
    for weight in weights:
        union |= int(np.bitwise_or.reduce(weight.reshape(-1), initial=0))
    return (union & -union).bit_length() - 1 if union else 0


def bias_of(layer: Layer) -> Int32:
    """Biases as they are added to v, int32."""
    shifted = np.left_shift(layer.bias, layer.bias_exp) if layer.bias_exp >= 0 else np.right_shift(layer.bias, -layer.bias_exp)
    return np.asarray(shifted, np.int32)


def fading(layer: Layer, highest: float) -> tuple[Int32, int]:
    """What v keeps per step and the bits of it after the point, where |v| below `highest` makes products of 32 bits.

    Elsewhere in units of 1 / 4096, and 0.
    """
    keep = np.asarray(4096 - layer.dv.astype(np.int32), np.int32)
    zeros = min(trailing_zeros(keep), 11)
    if int(keep.min()) < 0 or (int(keep.max()) >> zeros) * highest + 4096 >= 2.0**31:
        return keep, 0
    return keep >> zeros, 12 - zeros


def each(value: NDArray[np.integer], layer: Layer) -> bool:
    """Whether a parameter differs between neurons."""
    return np.asarray(value).shape == layer.shape and layer.size > 1 and bool((value != np.reshape(value, -1)[0]).any())
