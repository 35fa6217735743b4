"""Kernel S's side of a tile: its vectors, filled from bits and emptied into them, its layers and its counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.hardware.simulator import convert, lanes
from filopodia.hardware.simulator.adders import WIDE, Adders
from filopodia.hardware.simulator.cut import Layout
from filopodia.hardware.simulator.lane_plan import LanePlan
from filopodia.hardware.simulator.plan import Node
from filopodia.hardware.simulator.prepared import Prepared

Share = Callable[[Callable[[int, tuple[int, int]], None], int], None]


class Vectors:
    """The vectors of a tile of `count` samples and `steps` steps: first scratch per thread, then the nodes."""

    def __init__(self, prepared: Prepared, layout: Layout, steps: int, count: int) -> None:
        self.prepared, self.layout, self.steps, self.count = prepared, layout, steps, count
        self.chunks, self.groups = layout.vectors(steps, count)
        unit = layout.unit
        self.first = lanes.SCRATCH * layout.inner // unit
        self.words = prepared.spare.take((self.first + prepared.vectors * self.chunks * self.groups) * unit + WIDE)
        self.square = np.empty(64 * convert.SQUARES, np.uint64)
        for node in prepared.nodes.values():
            for tile in range(self.chunks * self.groups if node.corner != (0, 0) else 0):
                begin = self.first + node.vectors + tile * prepared.vectors
                region = self.words[begin * unit : (begin + node.room) * unit].reshape(node.channels, node.area, unit)
                region[:, node.halo] = 0  # silent

    def fill(self, node: Node, bits: NDArray[np.uint64]) -> None:
        """A node's spikes from the bits of the tile."""
        convert.to_lanes(*self._both(node, bits))

    def empty(self, node: Node, bits: NDArray[np.uint64]) -> None:
        """A node's spikes into the bits of the tile."""
        convert.from_lanes(*self._both(node, bits))

    def _both(self, node: Node, bits: NDArray[np.uint64]) -> tuple[Any, ...]:
        """A node in kernel G's layout and in this one."""
        at = node.cum * self.count * self.steps
        here = node.homes + (self.first + node.vectors)
        there = (bits, at, self.count, self.steps, node.channels, node.words)
        return *there, self.words, here, node.area, self.prepared.vectors, self.layout.width, self.layout.span, self.square

    def run(self, index: int, plan: LanePlan, share: Share) -> None:
        """A layer whose sources are filled; `share` calls its argument on parts of a range, on the threads within a tile."""
        key = (index, self.layout, self.steps, self.groups)
        if key not in self.prepared.places:
            node = self.prepared.nodes[self.prepared.program.layers[index].name]
            self.prepared.places[key] = self._places(plan, node)
        bases, out_place, setting = self.prepared.places[key]
        rows = len(plan.out_row)
        unit = self.layout.unit
        for chosen, width in zip(plan.runs(WIDE // unit), (WIDE, unit), strict=True):
            by_row = len(chosen) == 1

            def part(
                thread: int, piece: tuple[int, int], chosen: Any = chosen, width: int = width, by_row: bool = by_row
            ) -> None:
                lanes.lanes_layer(
                    self.words,
                    lanes.SCRATCH * thread,
                    plan.adders.steps,
                    plan.adders.starts,
                    plan.adders.constants,
                    bases,
                    plan.out_row,
                    out_place,
                    chosen,
                    *plan.params,
                    setting,
                    piece if by_row else (0, rows),
                    (0, 1) if by_row else piece,
                    (0,) * width,
                    (0,) * (width if self.layout.span == 1 else self.layout.width),
                )

            share(part, rows if by_row else len(chosen))

    def _places(self, plan: LanePlan, node: Node) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]]:
        """Where a layer's sources and its own vectors are in a tile of this layout, and its setting."""
        setting = np.zeros(1, lanes.SETTING)
        row = setting[0]
        row["steps"], row["groups"], row["stride"] = self.steps, self.groups, self.prepared.vectors
        row["unit"], row["places"], row["planes"] = self.layout.unit, len(plan.out_place), plan.planes
        row["span"] = self.layout.span
        row["memoryless"], row["subtract"] = plan.memoryless, plan.subtract
        row["biased"], row["fraction"], row["bounded"] = plan.biased, plan.fraction, plan.bounded
        row["up"], row["down"] = plan.up, plan.down
        firsts = np.array([self.first + self.prepared.nodes[name].vectors for name in plan.sources], np.int64)
        return plan.bases + firsts[:, None], plan.out_place + (self.first + node.vectors), setting

    def count_spikes(self, node: Node, rows: Adders, events: NDArray[np.int64], samples: tuple[int, int]) -> None:
        """Add a weighted count of a node's spikes to `events` [T, N] at the tile's `samples` (first, end)."""
        lanes.lanes_count(
            self.words,
            self.layout.span,
            rows.steps,
            rows.starts,
            rows.planes,
            rows.offset,
            self.first + node.vectors,
            self.prepared.vectors,
            events,
            samples,
            (0,) * self.layout.unit,
        )
