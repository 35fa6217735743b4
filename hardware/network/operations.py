"""A network as a list of operations that one sample goes through in every step, in flat tables for the kernel of `stepping`.

Every operation writes a slot: the values it sent last and, where weights read them, the places of those that are not zero.
A node that only hands on what one source sent (Flatten, most Outputs) shares its source's slot. An edge that carries what a
neuron sent in the step before reads a slot of its own, which the last operations of a step fill from the neuron's. A Delay of
at least one step is read before all other operations, and written after them.
"""

from __future__ import annotations

import weakref
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.hardware.network.build import NEURONS
from filopodia.hardware.network.delay import delay_steps
from filopodia.hardware.network.fields import size
from filopodia.hardware.network.network import Network
from filopodia.hardware.network.neurons import prepare
from filopodia.hardware.network.reference import only_recurrent
from filopodia.hardware.network.synapses import synapses
from filopodia.hardware.network.table import (
    BLOCK,
    COPY,
    ENTER,
    NEURON,
    NUMBERS,
    OPERATION,
    POOL,
    READ,
    RECORD,
    RECORDED,
    RULES,
    SCALE,
    THRESHOLD,
    WEIGH,
    WRITE,
)


@dataclass(frozen=True)
class Port:
    """Where an input or a record of `size` values starts among the booleans or the floats of a step."""

    group: str
    name: str
    binary: bool
    at: int
    size: int


@dataclass(frozen=True, eq=False)
class Operations:
    """The tables; how many elements the kernel needs room for; what enters in every step; where nodes' values are."""

    table: NDArray[Any]
    slots: NDArray[np.int64]  # where each slot starts, and where the last one ends
    sources: NDArray[np.int64]
    numbers: NDArray[Any]
    wholes: NDArray[np.int64]
    offsets: NDArray[np.uint32]
    weights: NDArray[Any]
    start: NDArray[Any]  # of all voltages
    currents: int
    past: int
    sums: int
    events: int
    entering: tuple[Port, ...]
    values: dict[tuple[str, str], tuple[int, int]]  # by group ("signal", "u", "v") and node: where they start, how many


_kept: weakref.WeakKeyDictionary[Network, dict[Any, tuple[list[NDArray[Any]], Operations]]] = weakref.WeakKeyDictionary()


def operations(network: Network, dtype: np.dtype[Any], binary: frozenset[str]) -> Operations:
    """Those of `network` in floats of `dtype`; `binary` names the inputs that come as booleans.

    They are kept for the next call as long as the network lives and its parameters are the same arrays, all read-only.
    """
    parameters = [x for node in network.nodes.values() for x in vars(node).values() if isinstance(x, np.ndarray)]
    known = _kept.setdefault(network, {})
    if (dtype, binary) in known:
        earlier, made = known[dtype, binary]
        if len(earlier) == len(parameters) and all(a is b for a, b in zip(earlier, parameters, strict=True)):
            return made
    made = _Builder(network, dtype, binary).build()
    if not any(x.flags.writeable for x in parameters):
        known[dtype, binary] = parameters, made
    return made


def records(made: Operations, keep: Collection[tuple[str, str, bool]]) -> tuple[NDArray[Any], tuple[Port, ...]]:
    """The kernel's table of what is recorded, (group, name, boolean) each, and where it puts it."""
    table, ports = np.zeros(len(keep), RECORD), []
    ends = {True: 0, False: 0}
    for row, (group, name, binary) in zip(table, keep, strict=True):
        row["what"], row["binary"], row["to"] = RECORDED[group], binary, ends[binary]
        row["at"], row["size"] = made.values[group, name]
        ports.append(Port(group, name, binary, ends[binary], int(row["size"])))
        ends[binary] += int(row["size"])
    return table, tuple(ports)


class _Builder:
    def __init__(self, network: Network, dtype: np.dtype[Any], binary: frozenset[str]) -> None:
        self.network, self.dtype, self.binary = network, dtype, binary
        self.silent = frozenset() if network.semantics.recurrent_input_at_start else only_recurrent(network)
        self.slots = [0]
        self.sources: list[int] = []
        self.made: list[dict[str, Any]] = []
        self.of: dict[str, int] = {}  # the slot of each node
        self.values: dict[tuple[str, str], tuple[int, int]] = {}  # of currents and voltages
        self.listed: set[int] = set()
        self.pieces: dict[str, list[NDArray[Any]]] = {key: [] for key in ("numbers", "wholes", "offsets", "weights", "start")}
        self.length = dict.fromkeys((*self.pieces, "currents", "past"), 0)
        self.constants: dict[bytes, int] = {}  # where numbers that serve all places of some node start
        self.sums = self.events = 0
        self.entering: list[Port] = []

    def build(self) -> Operations:
        network = self.network
        feedback = set(network.feedback)
        held = {source: self._slot(size(network.shapes[source])) for source in dict.fromkeys(s for s, _ in network.feedback)}
        pasts = {name: self._past(name, steps) for name in network.nodes if (steps := self._steps(name)) is not None}
        late = [name for name, past in pasts.items() if past.pop("least") > 0]
        for name in late:
            self.of[name] = self._add(READ, name, (), **pasts[name])
        for name in network.nodes:
            if name not in late:
                heard = [held[s] if (s, name) in feedback else self.of[s] for s in network.sources(name)]
                self.of[name] = self._node(name, heard, pasts.get(name))
        for name in late:
            self._add(WRITE, name, [self.of[s] for s in network.sources(name)], slot=self.of[name], **pasts[name])
        for name, slot in held.items():
            self._add(COPY, name, [self.of[name]], slot=slot)
        table = np.zeros(len(self.made), OPERATION)
        for row, values in zip(table, self.made, strict=True):
            for key, value in values.items():
                row[key] = value
            row["listed"] = values["slot"] in self.listed
        joined = {
            key: np.concatenate([np.zeros(0, kind), *self.pieces[key]])
            for key, kind in (
                *(("numbers", self.dtype), ("wholes", np.int64), ("offsets", np.uint32)),
                *(("weights", np.float32), ("start", self.dtype)),  # weights in double precision where any is
            )
        }
        return Operations(
            table=table,
            slots=np.array(self.slots),
            sources=np.array(self.sources, np.int64),
            currents=self.length["currents"],
            past=self.length["past"],
            sums=self.sums,
            events=self.events,
            entering=tuple(self.entering),
            values=self.values | {("signal", name): self._extent(slot) for name, slot in self.of.items()},
            **joined,
        )

    def _node(self, name: str, heard: list[int], past: dict[str, int] | None) -> int:
        """The slot with what node `name` sends."""
        node = self.network.nodes[name]
        kind = type(node).__name__
        if kind == "Input":
            return self._add(ENTER, name, (), binary=name in self.binary, given=self._enter(name))
        if past is not None:  # a delay that may be none
            slot = self._add(WRITE, name, heard, **past)
            return self._add(READ, name, (), slot=slot, **past)
        if kind in NEURONS:
            return self._add(NEURON, name, heard, **self._neuron(name))
        if kind in ("Scale", "Threshold"):
            key, values = ("gain", node.scale) if kind == "Scale" else ("threshold", node.threshold)
            return self._add(SCALE if kind == "Scale" else THRESHOLD, name, heard, **self._number(key, values, name))
        if kind in ("Affine", "Linear", "Conv1d", "Conv2d"):
            slot = self._sum(name, heard)
            self.listed.add(slot)
            return self._add(WEIGH, name, [slot], **self._weights(name, slot))
        if kind in ("SumPool2d", "AvgPool2d"):
            return self._add(POOL, name, [self._sum(name, heard)], **self._pool(name))
        return self._sum(name, heard)  # Flatten, Output

    def _sum(self, name: str, heard: list[int]) -> int:
        return heard[0] if len(heard) == 1 else self._add(COPY, name, heard)

    def _add(self, kind: int, name: str, heard: Collection[int], slot: int | None = None, **fields: Any) -> int:
        """Another operation; the slot that it writes, which has room for its sources' values or for the node's own."""
        source = next(iter(heard), None)
        like = source if kind == COPY else None
        values = self._extent(like)[1] if like is not None else size(self.network.shapes[name])
        made = self._slot(values) if slot is None else slot
        first = len(self.sources)
        self.sources.extend(heard)
        silent = kind != NEURON and kind != ENTER and name in self.silent
        self.made.append(
            {"kind": kind, "slot": made, "size": values, "first": first, "last": len(self.sources), "silent": silent} | fields
        )
        return made

    def _slot(self, values: int) -> int:
        self.slots.append(self.slots[-1] + values)
        return len(self.slots) - 2

    def _extent(self, slot: int) -> tuple[int, int]:
        return self.slots[slot], self.slots[slot + 1] - self.slots[slot]

    def _put(self, key: str, values: NDArray[Any]) -> int:
        """Append to one of the flat arrays; where it starts there."""
        start = self.length[key]
        self.pieces[key].append(values)
        self.length[key] += values.size
        return start

    def _room(self, key: str, values: int) -> int:
        start = self.length[key]
        self.length[key] += values
        return start

    def _number(self, key: str, values: Any, name: str) -> dict[str, int]:
        """A number of a node, for each place or for all."""
        array = np.asarray(values)
        small = array[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in array.strides)].astype(self.dtype)
        if small.size > 1:
            full = np.broadcast_to(small, self.network.shapes[name]).reshape(-1)
            return {key: self._put("numbers", full), f"{key}_each": 1}
        value = small.tobytes()
        if value not in self.constants:
            self.constants[value] = self._put("numbers", np.repeat(small.reshape(-1), BLOCK))
        return {key: self.constants[value], f"{key}_each": 0}

    def _neuron(self, name: str) -> dict[str, Any]:
        network, shape = self.network, self.network.shapes[name]
        neuron = prepare(network.nodes[name], network.semantics, self.dtype, network.fixed_point.get(name, 0.0))
        found: dict[str, Any] = {}
        for key in NUMBERS:
            values = getattr(neuron, key)
            if values is not None:
                found |= self._number(key, values, name)
        start = np.broadcast_to(neuron.start, shape).astype(self.dtype).reshape(-1)
        found["v"] = self._put("start", start)
        self.values["v", name] = found["v"], start.size
        if neuron.syn_keep is not None:
            found["u"] = self._room("currents", start.size)
            self.values["u", name] = found["u"], start.size
        return found | {
            "rule": RULES[neuron.rule],
            "cuba": neuron.syn_keep is not None,
            "spiking": neuron.threshold is not None,
            "at_threshold": neuron.fires_at_threshold,
            "subtract": neuron.subtract,
            "unit": neuron.scale,
        }

    def _weights(self, name: str, slot: int) -> dict[str, Any]:
        (source, *_) = self.network.sources(name)
        found = synapses(self.network.nodes[name], self.network.shapes[source], self.network.shapes[name])
        self.sums = max(self.sums, found.sums)
        self.events = max(self.events, self._extent(slot)[1], len(found.base) + 1)
        return {
            **{
                key: getattr(found, key)
                for key in ("channels", "planar", "sums", "lead", "row", "channels_out", "height", "width")
            },
            "places": len(found.base),
            "first_row": self._put("wholes", found.first),
            "base": self._put("wholes", found.base),
            "starts": self._put("wholes", found.starts),
            "entries": self._put("offsets", found.offsets),
            "weights": self._put("weights", found.weights),
            "stretch": found.length,
            "bias": self._put("weights", found.bias),
            "biased": found.bias.size > 0,
        }

    def _pool(self, name: str) -> dict[str, Any]:
        node, (source, *_) = self.network.nodes[name], self.network.sources(name)
        (tall, wide), (down, right), (above, before) = (
            tuple(int(n) for n in pair) for pair in (node.kernel_size, node.stride, node.padding)
        )
        channels, height_in, width_in = self.network.shapes[source]
        _, height, width = self.network.shapes[name]
        return {
            **{"channels": channels, "height_in": height_in, "width_in": width_in, "height": height, "width": width},
            **{"tall": tall, "wide": wide, "down": down, "right": right, "above": above, "before": before},
            "parts": tall * wide if type(node).__name__ == "AvgPool2d" else 1,
        }

    def _steps(self, name: str) -> NDArray[np.int64] | None:
        """By how many steps each place is late, None for a node without a past."""
        node, semantics = self.network.nodes[name], self.network.semantics
        if type(node).__name__ == "Delay":
            return delay_steps(node.delay, semantics.dt)
        late = type(node).__name__ == "Output" and semantics.output_delay
        return np.full(self.network.shapes[name], semantics.output_delay, np.int64) if late else None

    def _past(self, name: str, steps: NDArray[np.int64]) -> dict[str, int]:
        length = int(steps.max(initial=0)) + 1
        full = np.broadcast_to(steps, self.network.shapes[name]).reshape(-1).astype(np.int64)
        past = self._room("past", length * full.size)
        return {
            "past": past,
            "length": length,
            "steps_back": self._put("wholes", full),
            "least": int(steps.min(initial=length)),
        }

    def _enter(self, name: str) -> int:
        binary, values = name in self.binary, size(self.network.shapes[name])
        at = sum(port.size for port in self.entering if port.binary == binary)
        self.entering.append(Port("input", name, binary, at, values))
        return at
