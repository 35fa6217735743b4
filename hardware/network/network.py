"""Network: a NIR graph made certain, ready for the float reference and the compiler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from filopodia.hardware.show import show_network

Discretization = Literal["euler", "exponential"]
Reset = Literal["zero", "subtract"]
Comparison = Literal[">", ">="]


@dataclass(frozen=True)
class Semantics:
    """The five things NIR leaves open, and on which platforms differ. `dt` in seconds.

    `euler`: x += dt/tau * (...); `exponential`: the exact decay exp(-dt/tau). `reset`: to v_reset, or the threshold is
    subtracted. `comparison`: whether v equal to the threshold fires. `recurrent_input_at_start`: whether a recurrent
    Affine already adds its bias in the first step. `output_delay`: steps by which a platform hands its output out late.
    A Threshold node is strict whatever `comparison` says: NIR defines it so, and it has no trained counterpart.
    """

    dt: float
    discretization: Discretization = "euler"
    reset: Reset = "zero"
    comparison: Comparison = ">"
    recurrent_input_at_start: bool = True
    output_delay: int = 0


@dataclass(frozen=True, eq=False)
class Network:
    """A flat graph of NIR nodes with every parameter and shape known.

    `nodes` are instances of `nir`'s own classes in topological order (edges that close a cycle aside), subgraphs inlined,
    neuron parameters broadcast to full float arrays of the neuron's shape. `shapes[name]` is the shape of a node's output
    without time and sample axes, as inferred here (nir's own types are not trusted). Edges into one node sum, in the order
    of `edges`, and an edge written twice counts twice. Parameters are the network's own and read-only; broadcast ones cost no
    memory.

    `feedback` holds the edges, all out of neurons, that close a loop: they carry what the neuron sent in the step before
    (nothing in the first step). An edge into a Delay is never one of them, a Delay is late by itself.

    `fixed_point`: of the neurons that were trained in fixed point, the units per 1 of their voltage (see `neurons`).
    """

    nodes: Mapping[str, Any]
    edges: tuple[tuple[str, str], ...]
    shapes: Mapping[str, tuple[int, ...]]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    semantics: Semantics
    metadata: Mapping[str, Any] = field(default_factory=dict)
    feedback: tuple[tuple[str, str], ...] = ()
    fixed_point: Mapping[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        return show_network(self)

    def sources(self, name: str) -> tuple[str, ...]:
        """Nodes with an edge into `name`, in the order of the edges."""
        return tuple(source for source, target in self.edges if target == name)

    def targets(self, name: str) -> tuple[str, ...]:
        """Nodes that `name` has an edge to."""
        return tuple(target for source, target in self.edges if source == name)
