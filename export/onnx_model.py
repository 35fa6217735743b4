"""NIR to ONNX models, opset 18, written with `onnx.helper`: one step with open states, a scan over time, or unrolled.

    step      inputs [batch, *shape] and states "<node>.v" (and "<node>.i", "<node>.sent") in; outputs and "<state>.next" out
    scan      inputs and outputs [T, batch, *shape], any T, from rest: the step inside an ONNX Scan
    unrolled  the same for one fixed number of steps, for runtimes without Scan

Whatever else has a name in the model has a slash in it, which names of NIR nodes do not have.
States start at the values in the model's metadata ("states": JSON), 0 unless it says otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import nir
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from filopodia.errors import UnsupportedError
from filopodia.hardware.network.network import Network
from filopodia.hardware.network.reference import only_recurrent

from .cells import constants, states_of
from .loaded import loaded
from .onnx_cells import FLOAT, STATELESS, Body, Wire, initializer, is_sparse, neuron, sparse_initializer

Form = Literal["step", "scan", "unrolled"]
OPSET, IR_VERSION = 18, 9


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
            found = constants(node, network.semantics)[1]
            if "start" in found:
                starts[f"{name}.v"] = np.broadcast_to(found["start"], shapes[name]).astype(np.float32)
    return Plan(network, states, starts)


def write_step(
    body: Body, plan: Plan, inputs: Mapping[str, str], states: Mapping[str, str], after: Mapping[str, str]
) -> dict[str, str]:
    """Write one step into `body`: value names of inputs and states before it, names wanted for the states after it.

    Returns the value name of every node's output.
    """
    values = dict(inputs)
    network, late = plan.network, set(plan.network.feedback)
    for name, node in network.nodes.items():
        if name in inputs:
            continue
        sources = network.sources(name)
        parts = [states[f"{s}.sent"] if (s, name) in late else values[s] for s in sources]
        out = f"{body.prefix}{name}"
        x = parts[0]
        for count, part in enumerate(parts[1:]):
            x = body.do("Add", [x, part], f"{out}/sum{count}")
        remembers = states_of(node)
        if remembers:
            before = {state: states[f"{name}.{state}"] for state in remembers}
            later = {state: after[f"{name}.{state}"] for state in remembers}
            neuron(body, name, node, network.semantics, x, before, out, later)
        else:
            STATELESS[type(node).__name__](body, name, node, Wire(x, network.shapes[sources[0]]), out)
        values[name] = out
    for state, name in after.items():
        if state.endswith(".sent"):
            body.do("Identity", [values[state.removesuffix(".sent")]], name)
    return values


def build(plan: Plan, form: Form, *, steps: int = 0, record: Sequence[str] = (), sparse: bool = False) -> onnx.ModelProto:
    """The ONNX model of a plan. `steps` is for the unrolled form; `record` names nodes to give out besides the outputs.

    `sparse` writes weights that are mostly zeros as sparse initialisers.
    """
    out = [*plan.outputs, *(name for name in record if name not in plan.outputs)]
    body = Body()
    if form == "step":
        graph = _step_graph(plan, body, out)
    else:
        graph = _scan_graph(plan, body, out) if form == "scan" else _unrolled_graph(plan, body, out, steps)
    few = [name for name, values in body.constants.items() if sparse and is_sparse(values)]
    graph.initializer.extend(initializer(name, values) for name, values in body.constants.items() if name not in few)
    graph.sparse_initializer.extend(sparse_initializer(name, body.constants[name]) for name in few)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="filopodia"
    )
    facts = {
        "form": form,
        "dt": repr(plan.network.semantics.dt),
        "states": json.dumps({name: _start(plan, name) for name in plan.states}),
    }
    helper.set_model_props(model, facts)
    return model


def _start(plan: Plan, state: str) -> float | list[float]:
    start = plan.starts.get(state)
    if start is None:
        return 0.0
    return float(start.flat[0]) if bool((start == start.flat[0]).all()) else [float(v) for v in start.reshape(-1)]


def _info(name: str, lead: Sequence[str | int], shape: Sequence[int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, FLOAT, [*lead, *shape])


def _step_graph(plan: Plan, body: Body, out: Sequence[str]) -> onnx.GraphProto:
    after = {state: f"{state}.next" for state in plan.states}
    values = write_step(body, plan, {name: name for name in plan.inputs}, {state: state for state in plan.states}, after)
    assert all(values[name] == name for name in out)
    inputs = [_info(name, ["batch"], plan.network.shapes[name]) for name in plan.inputs]
    inputs += [_info(state, ["batch"], shape) for state, shape in plan.states.items()]
    outputs = [_info(name, ["batch"], plan.network.shapes[name]) for name in out]
    outputs += [_info(after[state], ["batch"], shape) for state, shape in plan.states.items()]
    return helper.make_graph(body.nodes, "step", inputs, outputs)


def _rest(body: Body, plan: Plan, samples: str) -> dict[str, str]:
    """States before the first step for `samples` (an int64 [1] value): constants of the right shape."""
    found = {}
    for state, shape in plan.states.items():
        sizes = body.do("Concat", [samples, body.constant(f"{state}/shape", shape, np.int64)], f"{state}/sizes", axis=0)
        zero = helper.make_tensor("value", FLOAT, [1], [0.0])
        found[state] = body.do("ConstantOfShape", [sizes], f"{state}/zeros", value=zero)
        if state in plan.starts:
            found[state] = body.do(
                "Add", [found[state], body.constant(f"{state}/start", plan.starts[state])], f"{state}/started"
            )
    return found


def _samples(body: Body, plan: Plan) -> str:
    body.do("Shape", [plan.inputs[0]], "/batch", start=1, end=2)
    return "/batch"


def _scan_graph(plan: Plan, body: Body, out: Sequence[str]) -> onnx.GraphProto:
    inner = Body()
    after = {state: f"{state}.next" for state in plan.states}
    write_step(
        inner,
        plan,
        {f"{name}": f"{name}/now" for name in plan.inputs},
        {state: f"{state}/before" for state in plan.states},
        after,
    )
    inputs = [_info(f"{state}/before", ["batch"], shape) for state, shape in plan.states.items()]
    inputs += [_info(f"{name}/now", ["batch"], plan.network.shapes[name]) for name in plan.inputs]
    outputs = [_info(after[state], ["batch"], shape) for state, shape in plan.states.items()]
    outputs += [_info(name, ["batch"], plan.network.shapes[name]) for name in out]
    step = helper.make_graph(inner.nodes, "step", inputs, outputs)
    body.constants |= inner.constants  # outside the loop, where a runtime prepares them once
    rest = _rest(body, plan, _samples(body, plan))
    scan = helper.make_node(
        "Scan",
        [*rest.values(), *plan.inputs],
        [*(f"{state}/last" for state in plan.states), *(f"{name}/all" for name in out)],
        name="over_time",
        body=step,
        num_scan_inputs=len(plan.inputs),
    )
    body.nodes.append(scan)
    for name in out:
        body.do("Identity", [f"{name}/all"], name)
    lead = ["steps", "batch"]
    ends = [_info(name, lead, plan.network.shapes[name]) for name in out]
    return helper.make_graph(body.nodes, "scan", [_info(name, lead, plan.network.shapes[name]) for name in plan.inputs], ends)


def _unrolled_graph(plan: Plan, body: Body, out: Sequence[str], steps: int) -> onnx.GraphProto:
    states = _rest(body, plan, _samples(body, plan))
    every: dict[str, list[str]] = {name: [] for name in out}
    for t in range(steps):
        body.prefix = f"/t{t}/"
        now = {}
        for name in plan.inputs:
            index = body.constant(f"/t{t}", t, np.int64)
            now[name] = body.do("Gather", [name, index], f"/t{t}/{name}/now", axis=0)
        after = {state: f"/t{t}/{state}.next" for state in plan.states}
        values = write_step(body, plan, now, states, after)
        states = after
        for name in out:
            axis = body.constant("/axis0", [0], np.int64)
            every[name].append(body.do("Unsqueeze", [values[name], axis], f"/t{t}/{name}/row"))
    for name in out:
        body.do("Concat", every[name], name, axis=0)
    lead: list[str | int] = [steps, "batch"]
    ends = [_info(name, lead, plan.network.shapes[name]) for name in out]
    return helper.make_graph(
        body.nodes, "unrolled", [_info(name, lead, plan.network.shapes[name]) for name in plan.inputs], ends
    )
