"""One step of a network as an ONNX model: by itself with open states, in a Scan over time, or unrolled. Opset 18.

    step      inputs [batch, *shape] and states in; outputs and "<state>.next" out
    scan      inputs and outputs [T, batch, *shape], any T, from rest: the step inside an ONNX Scan
    unrolled  the same for one fixed number of steps, for runtimes without Scan

The model's metadata says the form and, as JSON under "states", the states' values at rest. Whatever is not an input, output or
state has a slash in its name, which names of NIR nodes do not have.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Form = Literal["step", "scan", "unrolled"]
OPSET, IR_VERSION = 18, 9


@dataclass
class Body:
    """ONNX nodes and constants as they are written."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)

    def constant(self, name: str, values: Any, dtype: Any = np.float32) -> str:
        """A named constant, shared by all steps."""
        self.constants[name] = np.asarray(values, dtype=dtype)
        return name

    def do(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """One operator; returns the name of its output."""
        self.nodes.append(helper.make_node(operator, inputs, [output], name=f"{output}/{operator}", **attributes))
        return output


@dataclass(frozen=True, eq=False)
class Value:
    """An input, output or state: shape without the batch, ONNX type, and what a state is at rest where that is not 0."""

    name: str
    shape: tuple[int, ...]
    kind: int
    rest: NDArray[Any] | None = None


@dataclass(frozen=True, eq=False)
class Step:
    """What one step computes: from inputs and states by name to outputs by name and `<state>.next`."""

    body: Body
    inputs: Sequence[Value]
    states: Sequence[Value]
    outputs: Sequence[Value]


def model(step: Step, form: Form, *, steps: int, sparse: bool, facts: Mapping[str, str]) -> onnx.ModelProto:
    """The ONNX model of a step. `steps` is for the unrolled form; `facts` go into the metadata.

    `sparse` writes constants that are mostly zeros as their non-zero values and int64 places; onnxruntime makes them dense.
    """
    if form == "step":
        constants, graph = step.body.constants, _one(step)
    else:
        outer = Body(constants=dict(step.body.constants))
        graph = _scan(step, outer) if form == "scan" else _unrolled(step, outer, steps)
        constants = outer.constants
    few = [name for name, values in constants.items() if sparse and is_sparse(values)]
    graph.initializer.extend(initializer(name, values) for name, values in constants.items() if name not in few)
    graph.sparse_initializer.extend(sparse_initializer(name, constants[name]) for name in few)
    opset = [helper.make_opsetid("", OPSET)]
    made = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="filopodia")
    rest = {state.name: _at_rest(state) for state in step.states}
    helper.set_model_props(made, {"form": form, "states": json.dumps(rest), **facts})
    return made


def _at_rest(state: Value) -> float | list[float]:
    if state.rest is None:
        return 0
    full = np.broadcast_to(state.rest, state.shape)
    return float(full.flat[0]) if bool((full == full.flat[0]).all()) else [float(v) for v in full.reshape(-1)]


def _info(value: Value, lead: Sequence[str | int], name: str = "") -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name or value.name, value.kind, [*lead, *value.shape])


def _one(step: Step) -> onnx.GraphProto:
    inputs = [_info(value, ["batch"]) for value in (*step.inputs, *step.states)]
    outputs = [_info(value, ["batch"]) for value in step.outputs]
    outputs += [_info(state, ["batch"], f"{state.name}.next") for state in step.states]
    return helper.make_graph(step.body.nodes, "step", inputs, outputs)


def _renamed(step: Step, name: Callable[[str], str]) -> list[onnx.NodeProto]:
    """The step's nodes with every value called `name(value)`, constants excepted."""
    nodes = []
    for node in step.body.nodes:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.name = name(node.name)
        copy.input[:] = [x if x in step.body.constants else name(x) for x in node.input]
        copy.output[:] = [name(x) for x in node.output]
        nodes.append(copy)
    return nodes


def _resting(step: Step, outer: Body) -> dict[str, str]:
    """States before the first step, for as many samples as the first input has."""
    outer.do("Shape", [step.inputs[0].name], "/batch", start=1, end=2)
    found = {}
    for state in step.states:
        name = state.name
        sizes = outer.do("Concat", ["/batch", outer.constant(f"{name}/shape", state.shape, np.int64)], f"{name}/sizes", axis=0)
        zero = helper.make_tensor("value", state.kind, [1], [0])
        found[name] = outer.do("ConstantOfShape", [sizes], f"{name}/zeros", value=zero)
        if state.rest is not None:
            rest = outer.constant(f"{name}/rest", np.broadcast_to(state.rest, state.shape), state.rest.dtype)
            found[name] = outer.do("Add", [found[name], rest], f"{name}/started")
    return found


def _scan(step: Step, outer: Body) -> onnx.GraphProto:
    def inner(name: str) -> str:
        return f"/step/{name}"

    entering = [_info(value, ["batch"], inner(value.name)) for value in (*step.states, *step.inputs)]
    leaving = [_info(state, ["batch"], inner(f"{state.name}.next")) for state in step.states]
    leaving += [_info(value, ["batch"], inner(value.name)) for value in step.outputs]
    body = helper.make_graph(_renamed(step, inner), "step", entering, leaving)
    starts, inputs = _resting(step, outer), [value.name for value in step.inputs]
    ends = [*(f"{state.name}/last" for state in step.states), *(value.name for value in step.outputs)]
    outer.nodes.append(
        helper.make_node("Scan", [*starts.values(), *inputs], ends, name="/over_time", body=body, num_scan_inputs=len(inputs))
    )
    return _over_time(step, outer, "steps", "scan")


def _unrolled(step: Step, outer: Body, steps: int) -> onnx.GraphProto:
    now = _resting(step, outer)
    rows: dict[str, list[str]] = {value.name: [] for value in step.outputs}
    for t in range(steps):
        index = outer.constant(f"/t{t}", t, np.int64)
        for value in step.inputs:
            now[value.name] = outer.do("Gather", [value.name, index], f"/t{t}/{value.name}", axis=0)
        known = dict(now)
        outer.nodes.extend(_renamed(step, lambda name, t=t, known=known: known.get(name, f"/t{t}/{name}")))  # type: ignore[misc]
        now = {state.name: f"/t{t}/{state.name}.next" for state in step.states}
        for value in step.outputs:
            axis = outer.constant("/axis0", [0], np.int64)
            rows[value.name].append(outer.do("Unsqueeze", [f"/t{t}/{value.name}", axis], f"/t{t}/{value.name}/row"))
    for name, parts in rows.items():
        outer.do("Concat", parts, name, axis=0)
    return _over_time(step, outer, steps, "unrolled")


def _over_time(step: Step, outer: Body, steps: str | int, name: str) -> onnx.GraphProto:
    lead = [steps, "batch"]
    ends = [_info(value, lead) for value in step.outputs]
    return helper.make_graph(outer.nodes, name, [_info(value, lead) for value in step.inputs], ends)


def sparse_initializer(name: str, values: NDArray[Any]) -> onnx.SparseTensorProto:
    """A constant as its non-zero values and their int64 places."""
    flat = np.asarray(values).reshape(-1)
    places = np.flatnonzero(flat)
    return helper.make_sparse_tensor(
        numpy_helper.from_array(flat[places], name),
        numpy_helper.from_array(places.astype(np.int64), f"{name}/places"),
        values.shape,
    )


def is_sparse(values: NDArray[Any]) -> bool:
    """Whether a constant is smaller when only its non-zero values are written, each with eight bytes for its place."""
    return bool(values.ndim > 1 and 0 < np.count_nonzero(values) * (values.itemsize + 8) < values.nbytes)


def initializer(name: str, values: NDArray[Any]) -> onnx.TensorProto:
    """A dense constant of a model."""
    return numpy_helper.from_array(np.asarray(values, order="C"), name)
