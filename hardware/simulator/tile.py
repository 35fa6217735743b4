"""A tile of samples on its way through a program: each layer on the kernel that is cheaper for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.hardware.simulator import convert, gather
from filopodia.hardware.simulator.adders import Adders
from filopodia.hardware.simulator.cost import Choice, choose, law
from filopodia.hardware.simulator.cut import LANES_FROM, Layout
from filopodia.hardware.simulator.prepared import Prepared
from filopodia.hardware.simulator.vectors import Vectors
from filopodia.hardware.simulator.workers import spread

SENT, SYNOPS, UPDATES, MESSAGES = range(4)  # as the fields of `Counts`


@dataclass
class Result:
    """What a run fills in, allocated before it starts."""

    spikes: dict[str, NDArray[Any]]
    states: dict[str, dict[str, NDArray[np.int32]]]
    rates: dict[str, NDArray[np.int32]]
    events: NDArray[np.int64]  # [SENT .. MESSAGES, node, T, N]


class Tile:
    """The samples [start, end) of a run, all steps: spikes as bits, as vectors, or both, whatever its layers need."""

    def __init__(
        self,
        prepared: Prepared,
        given: dict[str, NDArray[Any]],
        result: Result,
        layout: Layout,
        start: int,
        end: int,
        record: frozenset[str],
        counts: bool,
    ) -> None:
        self.prepared, self.given, self.result, self.layout = prepared, given, result, layout
        self.start, self.end, self.counts, self.record = start, end, counts, record
        self.count = end - start
        self.steps = next(iter(given.values())).shape[0]
        self.bits = prepared.spare.take(prepared.words * self.count * self.steps + 64)
        self.as_bits: set[str] = set()
        self.as_vectors: set[str] = set()
        self.kept_vectors: Vectors | None = None

    def run(self) -> None:
        """All stages in turn, then what was asked to be kept."""
        program, prepared = self.prepared.program, self.prepared
        for node in program.inputs:
            self._take_in(node.name)
        states_kept = bool(self.record & {"u", "v"})
        if self.count < LANES_FROM or states_kept:
            if prepared.feed_forward and not states_kept:
                self._gather(0, len(program.layers), np.array(prepared.stages, np.int64))
            else:
                for first, last in prepared.stages:
                    self._gather(first, last, np.array([[0, last - first]], np.int64))
        else:
            for first, last in prepared.stages:
                choice = self._choose(first) if last == first + 1 else Choice.GATHER
                if choice is Choice.LANES:
                    self._lanes(first)
                else:
                    for layer in program.layers[first:last]:
                        for connection in program.into(layer.name):
                            if connection.source in self.as_vectors:
                                self._need_bits(connection.source)
                    self._gather(first, last, np.array([[0, last - first]], np.int64))
        self._keep()
        self.prepared.spare.give(self.bits)
        if self.kept_vectors is not None:
            self.prepared.spare.give(self.kept_vectors.words)

    def _take_in(self, name: str) -> None:
        node = self.prepared.nodes[name]
        messages = self.given[name]
        seen = messages.reshape(self.steps, -1, node.size)
        lit = (seen[:, self.start : self.end] != 0) if seen.dtype != np.bool_ else seen
        first = self.start if lit is seen else 0
        sums = np.empty((self.steps, self.count), np.int64)
        lit = np.ascontiguousarray(lit)
        convert.pack(lit.view(np.uint8), (first, first + self.count), *self._place(name), self.bits, sums)
        self._events(SENT, name)[:] = sums
        self.as_bits.add(name)

    def _place(self, name: str) -> tuple[int, int, int, int, int]:
        node = self.prepared.nodes[name]
        return self.steps, node.places, node.channels, node.words, node.cum * self.count * self.steps

    def _events(self, kind: int, name: str) -> NDArray[np.int64]:
        """This tile's part of the counts of a node, [T, samples of the tile]."""
        counts: NDArray[np.int64] = self.result.events[kind, self.prepared.order[name], :, self.start : self.end]
        return counts

    def _choose(self, index: int) -> Choice:
        prepared = self.prepared
        plan = prepared.lanes(index, self.layout.unit)
        if plan is None:
            return Choice.GATHER
        spikes = {name: float(self._events(SENT, name).sum()) for name in plan.sources}
        return choose(law(prepared, index, plan, self.count, self.steps, self.layout), spikes, self.as_bits, self.as_vectors)

    def _gather(self, first: int, last: int, stages: NDArray[np.int64]) -> None:
        prepared = self.prepared
        names = [layer.name for layer in prepared.program.layers[first:last]]
        t = prepared.tables(first, last)
        values = self._values()
        counted = np.empty((2, last - first, self.steps, self.count), np.int64)
        kept = [np.empty(t.recorded * self.count * self.steps * (s in self.record), np.int32) for s in ("u", "v")]

        def part(_thread: int, samples: tuple[int, int]) -> None:
            gather.gather(
                t.layers,
                t.connections,
                stages,
                samples,
                self.count,
                self.steps,
                self.bits,
                t.narrow,
                t.wide,
                t.tap_starts,
                t.taps,
                t.params,
                t.fan,
                values,
                np.empty(t.list_room, np.int32),
                np.empty(t.starts_room, np.int64),
                np.empty((t.segments_room, 4), np.int64),
                np.empty(t.state_room, np.int32),
                np.empty(t.state_room, np.int32),
                np.empty(t.sums_room + 512, np.int32),
                np.empty(t.sums_room + 512, np.int32),
                *counted,
                *kept,
            )

        self._share(part, self.count)
        self.as_bits.update(names)
        here = slice(self.start, self.end)
        inputs = len(prepared.program.inputs)
        self.result.events[SENT : SYNOPS + 1, inputs + first : inputs + last, :, here] = counted
        for state, flat in zip(("u", "v"), kept, strict=True):
            if state in self.record:
                for i, name in enumerate(names):
                    node = prepared.nodes[name]
                    begin = int(t.layers[i]["record"]) * self.count * self.steps
                    block = flat[begin : begin + node.padded * self.count * self.steps]
                    block = block.reshape(self.count, self.steps, node.places, node.words * 64)[..., : node.channels]
                    turned = block.transpose(1, 0, 3, 2).reshape(self.steps, self.count, node.size)
                    self.result.states[state][name][:, here] = turned

    def _values(self) -> NDArray[np.int32]:
        """Graded messages [input][sample][step][neuron place after place]."""
        parts = []
        for name in self.prepared.values:
            node = self.prepared.nodes[name]
            messages = self.given[name].reshape(self.steps, -1, node.size)[:, self.start : self.end]
            parts.append(node.by_place(messages.swapaxes(0, 1)).reshape(-1))
        return np.concatenate(parts).astype(np.int32) if parts else np.zeros(0, np.int32)

    def _share(self, work: Callable[[int, tuple[int, int]], None], size: int) -> None:
        """Call `work` with its number on parts of range(size), on the threads within a tile."""
        parts = min(self.layout.inner, size)

        def one(i: int) -> None:
            work(i, (size * i // parts, size * (i + 1) // parts))

        for _ in spread("parts", (parts - 1) * self.layout.tiles, one, range(parts)):
            pass

    @property
    def vectors(self) -> Vectors:
        """Kernel S's side of this tile, made when first needed."""
        if self.kept_vectors is None:
            self.kept_vectors = Vectors(self.prepared, self.layout, self.steps, self.count)
        return self.kept_vectors

    def _need_vectors(self, name: str) -> None:
        if name not in self.as_vectors:
            self.vectors.fill(self.prepared.nodes[name], self.bits)
            self.as_vectors.add(name)

    def _need_bits(self, name: str) -> None:
        if name not in self.as_bits:
            self.vectors.empty(self.prepared.nodes[name], self.bits)
            self.as_bits.add(name)

    def _lanes(self, index: int) -> None:
        prepared, unit = self.prepared, self.layout.unit
        plan, layer = prepared.lanes(index, unit), prepared.program.layers[index]
        assert plan is not None
        for name in plan.sources:
            self._need_vectors(name)
        self.vectors.run(index, plan, self._share)
        self.as_vectors.add(layer.name)
        self._count(layer.name, prepared.ones(layer.name, unit), SENT, layer.name)
        if self.counts:
            for i, connection in enumerate(prepared.program.connections):
                if connection.target == layer.name:
                    self._count(connection.source, prepared.synops(i, unit), SYNOPS, layer.name)

    def _count(self, name: str, rows: Adders, kind: int, of: str) -> None:
        """Add a weighted count of a node's spikes to the counts `kind` of a node."""
        events = self.result.events[kind, self.prepared.order[of]]
        self.vectors.count_spikes(self.prepared.nodes[name], rows, events, (self.start, self.end))

    def _keep(self) -> None:
        here = (self.start, self.end)
        for name in self.result.rates:
            self._need_bits(name)
            steps, places, channels, words, at = self._place(name)
            convert.add_rates(self.bits, at, here, steps, places, channels, words, self.result.rates[name])
        for name, x in self.result.spikes.items():
            self._need_bits(name)
            steps, places, channels, words, at = self._place(name)
            convert.unpack(self.bits, at, here, steps, places, channels, words, x.view(np.uint8))
        if self.counts:
            for name in self.prepared.destinations:
                if name in self.as_bits:
                    *_, at = self._place(name)
                    digits = self.prepared.message_bits(name)
                    sums = self.result.events[MESSAGES, self.prepared.order[name]]
                    convert.weigh(self.bits, at, here, self.steps, digits, sums)
                else:
                    self._count(name, self.prepared.messages(name, self.layout.unit), MESSAGES, name)
