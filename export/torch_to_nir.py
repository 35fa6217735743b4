"""torch to NIR: `to_nir(model, sample)` gives a `nir.NIRGraph` that says what the model computes.

Time constants are in seconds, LIF has r = 1 and IF r = 1 / dt, parameters have the neurons' full shape, names are module
paths. A neuron that fires at v >= threshold gets the next float32 below its threshold, so that NIR's v > threshold fires
for exactly the same v. What NIR has no word for stands in the graph's metadata; the graph is valid without it.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

import filopodia
from filopodia.errors import InputError, UnsupportedError

from .exact import order_dependent
from .kernels import checkable
from .lower import lower
from .ops import Add, Conv, Dense, Flat, Gain, Graph, Neuron, Op, Pool, Previous, Shape, Source, Step
from .replay import checked
from .seconds import time_constant
from .trace import Sample, trace

FORMAT = 1
Floats = NDArray[np.floating[Any]]


def to_nir(model: nn.Module, sample: Sample, *, dt: float = 1e-3, readout: Mapping[str, int] | None = None) -> nir.NIRGraph:
    """Write down what `model` computes as a NIR graph.

    `sample` is a float32 tensor as the model takes it: [T, N, *shape] for a multi-step model, else [N, *shape]; a tuple or
    dict of them for several inputs. The graph does not depend on its values, steps or samples, except that max pooling of
    the input itself is allowed when the input holds only zeros and ones. `dt` is the length of a step in seconds. `readout`
    overrides {"classes", "votes"}, by default the size of the output and the size of a final VotingLayer.

    The graph is run beside the model on the sample before it is returned: all layers must spike alike (`replay`).

    Raises UnsupportedError, with the module's path, for whatever cannot be said exactly, and InputError for a model in
    training mode or with weights that are not float32 and finite.
    """
    graph = lower(trace(model, sample))
    made = graph_to_nir(graph, dt=dt, readout=readout)
    checked(model, sample, graph, made)
    return made


def graph_to_nir(graph: Graph, *, dt: float, readout: Mapping[str, int] | None = None) -> nir.NIRGraph:
    """A lowered graph as NIR nodes and edges."""
    if not (np.isfinite(dt) and dt > 0):
        raise InputError(f"dt = {dt}", where="to_nir", allowed="a positive number of seconds")
    nodes: dict[str, Any] = {}
    edges: list[tuple[str, str]] = []
    for op in graph.ops.values():
        if not isinstance(op.what, Add | Previous):
            source = graph.ops[op.inputs[0]].shape if op.inputs else op.shape
            nodes[op.name] = NODES[type(op.what)](op, source, dt)
            _connect(nodes, edges, _sources(graph, op), op.name, source)
    for name, number in graph.outputs.items():
        op = graph.ops[number]
        nodes[name] = nir.Output(output_type={"output": np.array(op.shape, dtype=np.int64)})
        end = _sources(graph, op) if isinstance(op.what, Add | Previous) else [op.name]
        _connect(nodes, edges, end, name, op.shape)
    uneven = [
        name for name, node in nodes.items() if isinstance(node, nir.Conv2d) and node.weight.shape[2] != node.weight.shape[3]
    ]
    if uneven:
        warnings.warn(f"nir {nir.version} misreads the kernel of {uneven[0]}: nir.read needs type_check=False", stacklevel=3)
    return nir.NIRGraph(nodes, edges, metadata=metadata(graph, dt, readout), type_check=not uneven)


def _sources(graph: Graph, op: Op) -> list[str]:
    """Nodes whose outputs sum to the input of `op`: additions are seen through, in the order they were written.

    So is the step that `Previous` stands for: in NIR, an edge from a neuron that closes a loop is late by itself.
    """
    names = []
    for number in op.inputs:
        source = graph.ops[number]
        names += _sources(graph, source) if isinstance(source.what, Add | Previous) else [source.name]
    return names


def _connect(nodes: dict[str, Any], edges: list[tuple[str, str]], sources: list[str], target: str, shape: Shape) -> None:
    """Edges into `target`, which reads `shape`; a source added twice goes through a Scale: NIR knows an edge only once."""
    for source, times in Counter(sources).items():
        if times == 1:
            edges.append((source, target))
            continue
        double = f"{target}.times_{times}" + ("" if f"{target}.times_{times}" not in nodes else f".{source}")
        nodes[double] = nir.Scale(scale=np.full(shape, float(times), dtype=np.float32))
        edges += [(source, double), (double, target)]


def metadata(graph: Graph, dt: float, readout: Mapping[str, int] | None) -> dict[str, Any]:
    """What NIR has no word for, as plain values: see docs/semantics.md."""
    neurons = [(op.name, op.what) for op in graph.ops.values() if isinstance(op.what, Neuron) and op.what.fires]
    soft = [name for name, neuron in neurons if neuron.reset is None]
    if soft and len(soft) < len(neurons):
        hard = next(name for name, neuron in neurons if neuron.reset is not None)
        raise UnsupportedError(
            f"{soft[0]} subtracts its threshold after a spike and {hard} resets to a voltage",
            where="reset",
            allowed="one kind of reset in a file",
            fix="train all neurons with v_reset=None, or all with v_reset=0.0",
        )
    if soft:
        warnings.warn(
            "NIR has no reset by subtraction: only readers of the metadata reset=subtract run this graph right", stacklevel=3
        )
    shifted = [name for name, neuron in neurons if neuron.reset]
    if shifted:
        warnings.warn(
            f"{shifted[0]} resets to a voltage other than 0; many readers of NIR start it at 0 or ignore v_reset", stacklevel=3
        )
    fixed = {name: neuron.scale for name, neuron in neurons if neuron.scale}
    if fixed and len(fixed) < len(neurons):
        floating = next(name for name, neuron in neurons if not neuron.scale)
        raise UnsupportedError(
            f"{next(iter(fixed))} computes in fixed point and {floating} in floats",
            where="neurons",
            allowed="one arithmetic in a file",
            fix="prune.quantize_aware changes all neurons of a model",
        )
    loose = order_dependent(graph)
    rules = {neuron.at_threshold for _, neuron in neurons}
    facts: dict[str, Any] = {
        "filopodia_format": FORMAT,
        "dt": float(dt),
        "discretization": "euler",
        "reset": "subtract" if soft else "zero",
        "comparison": ">",
        "trained_comparison": ">" if rules == {False} else ">=",
        "recurrent_input_at_start": True,
        "output_delay": 0,
        "density": {op.name: _density(array(op.what.weight)) for op in graph.ops.values() if isinstance(op.what, Dense | Conv)},
        "exact_sums": {op.name: op.name not in loose for op in graph.ops.values() if isinstance(op.what, Dense | Conv)},
        "created_by": f"filopodia {filopodia.__version__}",
        "made_with": {name: version(name) for name in ("torch", "spikingjelly", "nir")},
    }
    if fixed:
        facts["fixed_point"] = fixed
    if graph.over_time:
        facts["over_time"] = graph.over_time
    shape = next(iter(graph.outputs.items()))[1]
    size = graph.ops[shape].shape
    if readout is not None:
        facts["readout"] = {name: int(value) for name, value in readout.items()}
    elif len(graph.outputs) == 1 and len(size) == 1:
        facts["readout"] = {"classes": size[0] // graph.votes, "votes": graph.votes}
    return facts


def _density(weight: Floats) -> float:
    return float(np.count_nonzero(weight)) / max(weight.size, 1)


def array(tensor: Tensor) -> Floats:
    """A tensor as a float32 array."""
    values: Floats = tensor.detach().float().cpu().numpy()
    return values


def positive_zeros(weight: Floats) -> Floats:
    """`weight` with -0.0, which pruning leaves behind, as 0.0: the same value, and half the size in a compressed file."""
    return weight + np.float32(0) if bool(np.signbit(weight[weight == 0]).any()) else weight


def _full(shape: Shape, value: float | np.floating[Any]) -> Floats:
    """One value for all neurons: an array of the full shape that takes the memory of one number."""
    one: Floats = np.asarray(value, dtype=getattr(value, "dtype", np.float32))
    return np.broadcast_to(one, shape)


def _dense(op: Op, source: Shape, dt: float) -> Any:
    layer: Dense = op.what  # type: ignore[assignment]
    weight = positive_zeros(array(layer.weight))
    return nir.Linear(weight=weight) if layer.bias is None else nir.Affine(weight=weight, bias=array(layer.bias))


def _conv(op: Op, source: Shape, dt: float) -> Any:
    layer: Conv = op.what  # type: ignore[assignment]
    weight = positive_zeros(array(layer.weight))
    bias = np.zeros(len(weight), dtype=np.float32) if layer.bias is None else array(layer.bias)
    wide, padding, said = checkable(weight, layer.padding, layer.dilation, layer.groups)
    facts = {"metadata": said} if said else {}
    if weight.ndim == 3:
        return nir.Conv1d(source[1], wide, layer.stride[0], padding[0], layer.dilation[0], 1, bias, **facts)
    return nir.Conv2d(source[1:], wide, layer.stride, padding, layer.dilation, 1, bias, **facts)


def _pool(op: Op, source: Shape, dt: float) -> Any:
    pool: Pool = op.what  # type: ignore[assignment]
    kind = nir.AvgPool2d if pool.kind == "average" else nir.SumPool2d
    return kind(kernel_size=np.array(pool.kernel), stride=np.array(pool.stride), padding=np.array(pool.padding))


def _flat(op: Op, source: Shape, dt: float) -> Any:
    flat: Flat = op.what  # type: ignore[assignment]
    end = -1 if flat.end == len(source) - 1 else flat.end
    return nir.Flatten(input_type={"input": np.array(source)}, start_dim=flat.start, end_dim=end)


def _gain(op: Op, source: Shape, dt: float) -> Any:
    gain: Gain = op.what  # type: ignore[assignment]
    return nir.Scale(scale=np.ascontiguousarray(np.broadcast_to(array(gain.factor), op.shape)))


def _step(op: Op, source: Shape, dt: float) -> Any:
    step: Step = op.what  # type: ignore[assignment]
    return nir.Threshold(threshold=_full(op.shape, step.threshold))


def _source(op: Op, source: Shape, dt: float) -> Any:
    return nir.Input(input_type={"input": np.array(op.shape, dtype=np.int64)})


def _neuron(op: Op, source: Shape, dt: float) -> Any:
    neuron: Neuron = op.what  # type: ignore[assignment]
    shape = op.shape
    threshold = np.float32(neuron.threshold)
    if neuron.at_threshold:
        threshold = np.nextafter(threshold, np.float32(-np.inf))
    fires = {"v_threshold": _full(shape, threshold), "v_reset": _full(shape, neuron.reset or 0.0)} if neuron.fires else {}
    if neuron.kind in ("if", "i"):
        kind = nir.IF if neuron.fires else nir.I
        return kind(r=_full(shape, 1.0 / dt), **fires)
    leak = _full(shape, neuron.rest)
    if neuron.kind in ("lif", "li"):
        kind = nir.LIF if neuron.fires else nir.LI
        return kind(tau=_full(shape, time_constant(neuron.tau, dt)), r=_full(shape, 1.0), v_leak=leak, **fires)
    steps_syn, steps_mem = 1.0 / (1.0 - neuron.c_decay), 1.0 / (1.0 - neuron.v_decay)
    return nir.CubaLIF(
        tau_syn=_full(shape, steps_syn * dt),
        tau_mem=_full(shape, steps_mem * dt),
        r=_full(shape, steps_mem),
        v_leak=leak,
        w_in=_full(shape, steps_syn),
        **fires,
    )


NODES: dict[type, Callable[[Op, Shape, float], Any]] = {
    Source: _source,
    Dense: _dense,
    Conv: _conv,
    Pool: _pool,
    Flat: _flat,
    Gain: _gain,
    Step: _step,
    Neuron: _neuron,
}
