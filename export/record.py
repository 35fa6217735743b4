"""Golden vectors: a trained model run on samples, with every spiking layer's output kept under its NIR name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from filopodia.errors import InputError

from .golden_file import Golden
from .lower import lower
from .ops import Graph, Neuron, Op, Step
from .trace import Sample, input_names, kept_states, multi_step, trace

Progress = Callable[[str, int, int], None]


def golden(
    model: nn.Module,
    inputs: Sample,
    *,
    labels: NDArray[Any] | Tensor | None = None,
    dt: float = 1e-3,
    batch: int = 64,
    progress: Progress | None = None,
) -> Golden:
    """Run `model` on `inputs` [T, N, *shape] (several: a tuple or dict, as for `to_nir`), `batch` samples at a time from rest.

    Every spiking node of `to_nir(model, ...)` is kept, [T, N, *shape] uint8, and the model's output before a final vote or
    sum over time. A single-step model is called T times. `dt` only goes into the file's header.
    """
    tensors = {name: x.detach() for name, x in input_names(model, inputs).items()}
    many = multi_step(model)
    first = next(iter(tensors.values()))
    if first.ndim < 3:
        raise InputError(f"shape {list(first.shape)}", where="golden inputs", allowed="[T, N, *shape]")
    start = {name: x[:1, :1] if many else x[0, :1] for name, x in tensors.items()}
    graph = lower(trace(model, start if isinstance(inputs, Mapping) else tuple(start.values())))
    kept: dict[str, list[NDArray[Any]]] = defaultdict(list)
    ends: dict[str, list[NDArray[Any]]] = defaultdict(list)
    for begin in range(0, first.shape[1], batch):
        part = {name: x[:, begin : begin + batch] for name, x in tensors.items()}
        spikes, outputs = record(model, graph, part, isinstance(inputs, Mapping))
        for name, array in spikes.items():
            kept[name].append(array)
        for name, array in outputs.items():
            ends[name].append(array)
        if progress is not None:
            progress("golden", min(begin + batch, first.shape[1]), first.shape[1])
    names = dict(zip(tensors, graph.inputs, strict=True))
    return Golden(
        inputs={names[name]: _compact(x.cpu().numpy()) for name, x in tensors.items()},
        spikes={name: np.concatenate(arrays, axis=1).astype(np.uint8) for name, arrays in kept.items()},
        outputs={name: _compact(np.concatenate(arrays, axis=1)) for name, arrays in ends.items()},
        labels=None if labels is None else np.asarray(labels, dtype=np.int64),
        dt=dt,
    )


def record(
    model: nn.Module, graph: Graph, inputs: Mapping[str, Tensor], by_name: bool
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """Run `model` from rest on inputs [T, N, *shape] by parameter name: spikes by layer and outputs, each [T, N, *shape]."""
    many = multi_step(model)
    watched = {
        op.module: op for op in graph.ops.values() if isinstance(op.what, Neuron | Step) and op.module is not None and op.binary
    }
    seen: dict[str, list[Tensor]] = defaultdict(list)
    returned: list[Any] = []
    steps, samples = next(iter(inputs.values())).shape[:2]
    with ExitStack() as scope:
        scope.enter_context(torch.no_grad())
        scope.enter_context(kept_states(model))
        for module, op in watched.items():
            scope.callback(module.register_forward_hook(_keeper(seen[op.name])).remove)
        calls = [inputs] if many else [{name: x[t] for name, x in inputs.items()} for t in range(steps)]
        for call in calls:
            returned.append(model(**call) if by_name else model(*call.values()))
    spikes = {op.name: _sequence(seen[op.name], op, steps, samples) for op in watched.values()}
    outputs = {}
    for index, (name, number) in enumerate(graph.outputs.items()):
        end = graph.ops[number]
        if end.name in spikes:
            outputs[name] = spikes[end.name]
        elif graph.votes == 1 and not graph.over_time:
            values = [_pick(value, index) for value in returned]
            outputs[name] = _sequence(values, end, steps, samples)
    return spikes, outputs


def _keeper(into: list[Tensor]) -> Callable[[nn.Module, Any, Tensor], None]:
    def keep(module: nn.Module, args: Any, result: Tensor) -> None:
        into.append(result.detach())

    return keep


def _pick(value: Any, index: int) -> Tensor:
    if isinstance(value, Tensor):
        return value
    found: Tensor = list(value.values() if isinstance(value, Mapping) else value)[index]
    return found


def _sequence(parts: list[Tensor], op: Op, steps: int, samples: int) -> NDArray[Any]:
    """Outputs of one module as [T, N, *shape]: it was called once with all steps, or once per step."""
    whole = parts[0] if len(parts) == 1 else torch.stack(parts)
    return whole.reshape(steps, samples, *op.shape).cpu().numpy()


def _compact(values: NDArray[Any]) -> NDArray[Any]:
    """As uint8 where all values are small whole numbers, else as float32."""
    whole = values.astype(np.uint8)
    return whole if bool((whole == values).all()) else values.astype(np.float32)
