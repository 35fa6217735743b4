"""A program made ready for the kernels, piece by piece when first needed, and kept for the next call."""

from __future__ import annotations

import weakref
from functools import cached_property
from typing import Any

import numpy as np

from filopodia.hardware.program import Connection, Conv, Program
from filopodia.hardware.simulator import counting, digits, geometry, plan, tables
from filopodia.hardware.simulator.digits import Digits, LanePlan
from filopodia.hardware.simulator.fingerprint import fingerprint
from filopodia.hardware.simulator.spare import Spare
from filopodia.hardware.simulator.tables import Tables


class Prepared:
    """Tables of a program. Everything is a function of the program alone, so threads may fill them in at the same time."""

    def __init__(self, program: Program) -> None:
        self._program = weakref.ref(program)  # so that a kept `Prepared` does not keep its program
        self.nodes = plan.lay_out(program)
        self.stages = plan.stages(program)
        self.order = {layer.name: i for i, layer in enumerate(program.layers)}
        self.values: dict[str, int] = {}
        self.graded_size = 0
        for node in program.inputs:
            if node.message_bits > 0:
                self.values[node.name] = self.graded_size
                self.graded_size += node.size
        self.spare = Spare()
        self.layouts: dict[Any, Any] = {}  # `cut.Layout` by what was asked
        self._tables: dict[tuple[int, int], Tables] = {}
        self._lanes: dict[int, LanePlan | None] = {}
        self._synops: dict[int, Digits] = {}
        self._ones: dict[str, Digits] = {}
        self._messages: dict[str, Digits] = {}
        self._message_bits: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.uint64]]] = {}

    @property
    def program(self) -> Program:
        """The program, which whoever runs it holds."""
        program = self._program()
        assert program is not None
        return program

    @cached_property
    def carries(self) -> int:
        """Vectors that carries from one power to the next can take at most: one per weight of a row."""
        most = digits.COUNTED
        for layer in self.program.layers:
            most = max(most, sum(self._row_length(connection) for connection in self.program.into(layer.name)))
        return most + 8

    def _row_length(self, connection: Connection) -> int:
        synapses = connection.synapses
        if isinstance(synapses, Conv):
            return int(np.prod(synapses.weight.shape[1:]))
        return self.nodes[connection.source].size

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

    def lanes(self, index: int) -> LanePlan | None:
        """Kernel S's tables for a layer, None where it cannot serve."""
        if index not in self._lanes:
            self._lanes[index] = digits.plan_layer(self.program, self.nodes, self.program.layers[index])
        return self._lanes[index]

    def synops(self, connection: int) -> Digits:
        """Rows that count the synapses reached over a connection."""
        if connection not in self._synops:
            self._synops[connection] = digits.plan_synops(self.program, self.nodes, self.program.connections[connection])
        return self._synops[connection]

    def ones(self, name: str) -> Digits:
        """Rows that count a node's spikes."""
        if name not in self._ones:
            node = self.nodes[name]
            self._ones[name] = digits.plan_count(np.ones(node.size, np.int64), node)
        return self._ones[name]

    @cached_property
    def destinations(self) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
        """Cores that a spike of each neuron goes to, in the user's order; only nodes that reach any."""
        return {name: x for name, x in counting.destinations(self.program).items() if x.any()}

    def message_digits(self, name: str) -> Digits:
        """Rows that count a node's messages."""
        if name not in self._messages:
            self._messages[name] = digits.plan_count(self.destinations[name], self.nodes[name])
        return self._messages[name]

    def message_bits(self, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint64]]:
        """`destinations` bit by bit [bit, word], in the layout of a step's spikes."""
        if name not in self._message_bits:
            node, counts = self.nodes[name], self.destinations[name]
            by_place = np.zeros((node.places, node.words * 64), np.int64)
            by_place[:, : node.channels] = node.by_place(counts).reshape(node.places, node.channels)
            bits = by_place.reshape(1, -1) >> np.arange(int(counts.max()).bit_length())[:, None] & 1
            self._message_bits[name] = np.packbits(bits.astype(np.uint8), axis=1, bitorder="little").view(np.uint64)
        return self._message_bits[name]


_kept: weakref.WeakKeyDictionary[Program, tuple[int, Prepared]] = weakref.WeakKeyDictionary()


def prepare(program: Program) -> Prepared:
    """A checked program's tables, from the last call where the program is the same and none of its numbers has changed.

    Raises InputError where the program's arrays do not fit each other.
    """
    mark = fingerprint(program)
    known = _kept.get(program)
    if known is None or known[0] != mark:
        geometry.check(program)
        known = (mark, Prepared(program))
        _kept[program] = known
    return known[1]
