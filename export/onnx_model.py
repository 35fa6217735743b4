"""A NIR graph as ONNX, float32: the states it carries from step to step, and one step of it (`onnx_time` does the rest).

States are "<node>.v" voltages, "<node>.i" currents, and "<node>.sent", what a recurrent layer sent in the step before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import nir
import numpy as np
import onnx
from numpy.typing import NDArray

from filopodia.errors import UnsupportedError
from filopodia.hardware.network.network import Network
from filopodia.hardware.network.reference import only_recurrent

from .cells import constants, states_of
from .loaded import loaded
from .onnx_cells import FLOAT, STATELESS, Wire, neuron
from .onnx_time import Body, Form, Step, Value, model


@dataclass(frozen=True)
class Plan:
    """A network ready to be written: the states it carries from step to step, and their first values."""

    network: Network
    states: Mapping[str, tuple[int, ...]]  # state name -> shape
    starts: Mapping[str, NDArray[np.float32]]  # state name -> value before the first step, where it is not 0

    @property
    def inputs(self) -> tuple[str, ...]:
        """Input nodes."""
        return self.network.inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """Output nodes."""
        return self.network.outputs


def plan(graph: nir.NIRGraph, *, dt: float | None = None) -> Plan:
    """Load a graph and list its states."""
    network = loaded(graph, dt=dt)
    if not network.semantics.recurrent_input_at_start and (silent := only_recurrent(network)):
        raise UnsupportedError(
            "recurrent_input_at_start = False: the first step is another computation than the rest",
            where=f"node {min(silent)!r}",
            allowed="True",
        )
    nodes, shapes = network.nodes, network.shapes
    states = {f"{name}.{state}": shapes[name] for name, node in nodes.items() for state in states_of(node)}
    states |= {f"{source}.sent": shapes[source] for source in dict.fromkeys(source for source, _ in network.feedback)}
    taken = {*states, *(f"{state}.next" for state in states)} & set(nodes)
    if taken:
        raise UnsupportedError("this node has the name of another node's state", where=min(taken), fix="rename the node")
    starts = {}
    for name, node in nodes.items():
        if states_of(node):
            found = constants(node, network.semantics, network.fixed_point.get(name, 0.0))[1]
            if "start" in found:
                starts[f"{name}.v"] = np.broadcast_to(found["start"], shapes[name]).astype(np.float32)
    return Plan(network, states, starts)


def step_of(plan: Plan, record: Sequence[str] = ()) -> Step:
    """One step of a plan; `record` names nodes to give out besides the outputs."""
    body, network, late = Body(), plan.network, set(plan.network.feedback)
    values = {name: name for name in plan.inputs}
    for name, node in network.nodes.items():
        if name in plan.inputs:
            continue
        sources = network.sources(name)
        parts = [f"{s}.sent" if (s, name) in late else values[s] for s in sources]
        x = parts[0]
        for count, part in enumerate(parts[1:]):
            x = body.do("Add", [x, part], f"{name}/sum{count}")
        if states_of(node):
            neuron(body, name, node, network.semantics, network.fixed_point.get(name, 0.0), x)
        else:
            STATELESS[type(node).__name__](body, name, node, Wire(x, network.shapes[sources[0]]), name)
        values[name] = name
    for state in plan.states:
        if state.endswith(".sent"):
            body.do("Identity", [values[state.removesuffix(".sent")]], f"{state}.next")
    out = [*plan.outputs, *(name for name in record if name not in plan.outputs)]
    return Step(
        body,
        [Value(name, network.shapes[name], FLOAT) for name in plan.inputs],
        [Value(name, shape, FLOAT, plan.starts.get(name)) for name, shape in plan.states.items()],
        [Value(name, network.shapes[name], FLOAT) for name in out],
    )


def build(plan: Plan, form: Form, *, steps: int = 0, record: Sequence[str] = (), sparse: bool = False) -> onnx.ModelProto:
    """The ONNX model of a plan. `steps` is for the unrolled form; `record` names nodes to give out besides the outputs."""
    return model(step_of(plan, record), form, steps=steps, sparse=sparse, facts={"dt": repr(plan.network.semantics.dt)})
