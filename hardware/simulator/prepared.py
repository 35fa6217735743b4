"""A program made ready for the kernels, piece by piece when first needed, and kept for the next call."""

from __future__ import annotations

import weakref
from functools import cached_property
from typing import Any

import numpy as np

from filopodia.hardware.program import Program, Sparse
from filopodia.hardware.simulator import counting, geometry, lane_plan, plan, tables
from filopodia.hardware.simulator.adders import Adders
from filopodia.hardware.simulator.lane_plan import LanePlan
from filopodia.hardware.simulator.spare import Spare
from filopodia.hardware.simulator.tables import Tables


class Prepared:
    """Tables of a program. Everything is a function of the program alone, so threads may fill them in at the same time."""

    def __init__(self, program: Program) -> None:
        self._program = weakref.ref(program)  # so that a kept `Prepared` does not keep its program
        self.nodes = plan.lay_out(program)
        self.stages = plan.stages(program)
        self.order = {name: i for i, name in enumerate(self.nodes)}
        self.updates = np.array([layer.size for layer in program.layers], np.int64)[:, None, None]
        self.values: dict[str, int] = {}
        self.graded_size = 0
        for node in program.inputs:
            if node.message_bits > 0:
                self.values[node.name] = self.graded_size
                self.graded_size += node.size
        self.spare = Spare()
        self.layouts: dict[Any, Any] = {}  # `cut.Layout` by what was asked
        self.laws: dict[Any, Any] = {}  # `cost.Law` by layer and size of a tile
        self.places: dict[Any, Any] = {}  # where kernel S finds a layer's vectors, by layout
        self._tables: dict[tuple[int, int], Tables] = {}
        self._lanes: dict[tuple[int, int], LanePlan | None] = {}
        self._synops: dict[tuple[int, int], Adders] = {}
        self._ones: dict[tuple[str, int], Adders] = {}
        self._messages: dict[tuple[str, int], Adders] = {}
        self._message_bits: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.uint64]]] = {}

    @property
    def program(self) -> Program:
        """The program, which whoever runs it holds."""
        program = self._program()
        assert program is not None
        return program

    @cached_property
    def words(self) -> int:
        """64-bit words of all nodes' bits per sample and step."""
        return sum(node.places * node.words for node in self.nodes.values())

    @cached_property
    def vectors(self) -> int:
        """Vectors of all nodes per chunk of eight steps."""
        return sum(node.room for node in self.nodes.values())

    @cached_property
    def feed_forward(self) -> bool:
        """Whether every layer can run all its steps in a row."""
        return all(last == first + 1 for first, last in self.stages)

    def tables(self, first: int, last: int) -> Tables:
        """Kernel G's tables for layers [first, last)."""
        key = (first, last)
        if key not in self._tables:
            self._tables[key] = tables.build(self.program, self.nodes, first, last, self.values)
        return self._tables[key]

    def lanes(self, index: int, unit: int) -> LanePlan | None:
        """Kernel S's tables for a layer and vectors of `unit` words, None where it cannot serve."""
        if (index, unit) not in self._lanes:
            layer = self.program.layers[index]
            self._lanes[index, unit] = lane_plan.plan_layer(self.program, self.nodes, layer, unit)
        return self._lanes[index, unit]

    def synops(self, connection: int, unit: int) -> Adders:
        """Rows that count the synapses reached over a connection."""
        if (connection, unit) not in self._synops:
            of = self.program.connections[connection]
            self._synops[connection, unit] = lane_plan.plan_synops(self.program, self.nodes, of, unit)
        return self._synops[connection, unit]

    def ones(self, name: str, unit: int) -> Adders:
        """Rows that count a node's spikes."""
        if (name, unit) not in self._ones:
            node = self.nodes[name]
            self._ones[name, unit] = lane_plan.plan_count(np.ones(node.size, np.int64), node, unit)
        return self._ones[name, unit]

    @cached_property
    def destinations(self) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
        """Cores that a spike of each neuron goes to, in the user's order; only nodes that reach any."""
        return {name: x for name, x in counting.destinations(self.program).items() if x.any()}

    def messages(self, name: str, unit: int) -> Adders:
        """Rows that count a node's messages."""
        if (name, unit) not in self._messages:
            self._messages[name, unit] = lane_plan.plan_count(self.destinations[name], self.nodes[name], unit)
        return self._messages[name, unit]

    def message_bits(self, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint64]]:
        """`destinations` bit by bit [bit, word], in the layout of a step's spikes."""
        if name not in self._message_bits:
            node, counts = self.nodes[name], self.destinations[name]
            by_place = np.zeros((node.places, node.words * 64), np.int64)
            by_place[:, : node.channels] = node.by_place(counts).reshape(node.places, node.channels)
            bits = by_place.reshape(1, -1) >> np.arange(int(counts.max()).bit_length())[:, None] & 1
            self._message_bits[name] = np.packbits(bits.astype(np.uint8), axis=1, bitorder="little").view(np.uint64)
        return self._message_bits[name]


_kept: weakref.WeakKeyDictionary[Program, Prepared] = weakref.WeakKeyDictionary()


def prepare(program: Program) -> Prepared:
    """A checked program's tables, from the last call where it is the same program.

    The program's arrays become read-only: its tables, once made, would not follow a change in place.
    Raises InputError where the program's arrays do not fit each other.
    """
    known = _kept.get(program)
    if known is None:
        geometry.check(program)
        _freeze(program)
        known = _kept[program] = Prepared(program)
    return known


def _freeze(program: Program) -> None:
    arrays: list[Any] = []
    for connection in program.connections:
        synapses = connection.synapses
        arrays += [synapses.indptr, synapses.indices, synapses.data] if isinstance(synapses, Sparse) else [synapses.weight]
    for layer in program.layers:
        arrays += [layer.du, layer.dv, layer.vth, layer.bias]
    for array in arrays:
        while isinstance(array, np.ndarray):
            array.flags.writeable = False
            array = array.base
