"""`fold`: the trained model as it will be exported, still a torch model: BatchNorm in the weights, sums exact in any order."""

from __future__ import annotations

import copy
import math
from collections import Counter
from dataclasses import replace
from typing import Any

import torch
from spikingjelly.activation_based import base as sj_base
from spikingjelly.activation_based import layer as sj_layer
from spikingjelly.activation_based import neuron as sj
from torch import nn
from torch.nn.utils import parametrize

from filopodia.errors import UnsupportedError

from .affine import scaled
from .exact import snapped
from .lower import absorb, remaining_affine
from .neurons import read_neuron
from .ops import Conv, Dense, Flat, Graph, Neuron, Norm, Pool
from .trace import Sample, trace


def fold(model: nn.Module, sample: Sample) -> nn.Module:
    """A copy of `model` that computes what its NIR file will say, bit for bit, and is otherwise used like it.

    BatchNorms behind a Conv or Linear become Identity, their scale and shift part of its weights (zeros stay zeros), others a
    depthwise Conv (a diagonal Linear); LIF neurons that do not divide their input by tau get it from the weights too;
    ParametricLIF becomes LIF; average pooling over windows whose size is no power of two becomes a sum, its divisor part of the
    weights behind it; and weights of layers that read spikes are moved to a grid (by some 2^-24 of their sum) on which every
    order of summation gives the same float32. So torch, NIR, ONNX and the simulator agree on every spike of the folded model,
    except behind the layers that `order_dependent` lists: those that read analog values.

    `sample` is as for `to_nir`. Raises UnsupportedError where a layer is used twice and would need two sets of weights.
    """
    folded = copy.deepcopy(model)
    graph = trace(folded, sample)
    after = snapped(remaining_affine(_sums_of_windows(_tau_in_weights(absorb(graph, (Norm,)))), (Norm,)))
    for number in set(graph.ops) - set(after.ops):
        norm = graph.ops[number].module
        assert norm is not None
        if any(op.module is norm for op in after.ops.values()):
            raise UnsupportedError("a BatchNorm that is used twice, behind different layers", where=graph.ops[number].name)
        _replace(folded, norm, nn.Identity().eval())
    uses = Counter(op.module for op in after.ops.values())
    for number, op in after.ops.items():
        before = graph.ops[number]
        if op.module is None or op.what is before.what or isinstance(op.module, sj_layer.VotingLayer):
            continue
        if uses[op.module] > 1:
            raise UnsupportedError(
                "a layer that is used twice would need two sets of weights", where=op.name, fix="export without fold"
            )
        if isinstance(before.what, Norm | Pool) and isinstance(op.what, Pool | Dense | Conv):
            _replace(folded, op.module, _module(op.what, op.module))
        elif isinstance(op.what, Dense | Conv):
            _set_weights(op.module, op.what, op.name)
        elif isinstance(op.what, Neuron):
            op.module.decay_input = True  # type: ignore[assignment]
    _fix_parametric(folded)
    return folded


def _tau_in_weights(graph: Graph) -> Graph:
    """LIF neurons with decay_input False, directly behind a layer that only they read: divided, and the weights times tau."""
    ops = dict(graph.ops)
    for number, op in graph.ops.items():
        if isinstance(op.what, Neuron) and op.what.kind == "lif" and not op.what.decay_input:
            source = op.inputs[0]
            layer = ops[source].what
            if isinstance(layer, Dense | Conv) and graph.readers(source) == [number] and source not in graph.outputs.values():
                ops[source] = replace(ops[source], what=scaled(layer, torch.tensor(op.what.tau, dtype=torch.float64)))
                ops[number] = replace(op, what=replace(op.what, decay_input=True))
    return graph.with_ops(ops)


def _sums_of_windows(graph: Graph) -> Graph:
    """Averages over windows whose size is no power of two, as sums: the Conv or Dense that reads them has the divisor."""
    ops = dict(graph.ops)
    uses = Counter(op.module for op in graph.ops.values())
    for number, op in graph.ops.items():
        if not (isinstance(op.what, Pool) and op.what.kind == "average" and len(op.what.kernel) == 2 and uses[op.module] == 1):
            continue
        area, reader = math.prod(op.what.kernel), _only_reader(graph, number)
        if reader is None or math.log2(area).is_integer() or op.module is None:
            continue
        layer = ops[reader].what
        assert isinstance(layer, Dense | Conv)
        divided = scaled(replace(layer, bias=None), torch.tensor(1.0 / area, dtype=torch.float64))
        ops[number] = replace(op, what=replace(op.what, kind="sum"))
        ops[reader] = replace(ops[reader], what=replace(layer, weight=divided.weight))
    return graph.with_ops(ops)


def _only_reader(graph: Graph, number: int) -> int | None:
    """The Conv or Dense that alone reads an operation, perhaps flattened on the way."""
    while True:
        readers = graph.readers(number)
        if len(readers) != 1 or number in graph.outputs.values():
            return None
        (number,) = readers
        if isinstance(graph.ops[number].what, Dense | Conv):
            return number if graph.ops[number].module is not None else None
        if not isinstance(graph.ops[number].what, Flat):
            return None


def _module(what: Pool | Dense | Conv, like: nn.Module) -> nn.Module:
    """A module that computes `what`, in the step mode of the one it replaces."""
    source: Any = sj_layer if isinstance(like, sj_base.StepModule) else nn
    made: Any
    if isinstance(what, Pool):
        made = source.AvgPool2d(what.kernel, what.stride, what.padding, divisor_override=1)
    elif isinstance(what, Dense):
        made = source.Linear(what.weight.shape[1], what.weight.shape[0])
    else:
        kind = source.Conv1d if len(what.stride) == 1 else source.Conv2d
        made = kind(what.weight.shape[0], what.weight.shape[0], what.weight.shape[2:], groups=what.groups)
    if isinstance(what, Dense | Conv):
        made.to(next(iter(like.buffers())).device)
        _set_weights(made, what, type(like).__name__)
    if isinstance(like, sj_base.StepModule):
        made.step_mode = like.step_mode
    replaced: nn.Module = made.eval()
    return replaced


def _set_weights(module: nn.Module, layer: Dense | Conv, where: str) -> None:
    if parametrize.is_parametrized(module):
        raise UnsupportedError(
            "the layer's weight is computed from another tensor", where=where, fix="finish first: pruner.finalize()"
        )
    device = torch.as_tensor(module.weight).device
    with torch.no_grad():
        module.weight = nn.Parameter(layer.weight.float().to(device), requires_grad=False)
        if layer.bias is not None:
            module.bias = nn.Parameter(layer.bias.float().to(device), requires_grad=False)


def _replace(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    for parent in model.modules():
        for name, child in parent.named_children():
            if child is old:
                setattr(parent, name, new)


def _fix_parametric(model: nn.Module) -> None:
    """ParametricLIF neurons multiply by a trained 1 / tau; files say tau, and LIF neurons divide by it."""
    for module in list(model.modules()):
        if type(module) is sj.ParametricLIFNode:
            known = read_neuron(module, type(module).__name__)
            assert known is not None
            fixed = sj.LIFNode(
                tau=known.tau,
                decay_input=module.decay_input,
                v_threshold=module.v_threshold,
                v_reset=module.v_reset,
                surrogate_function=module.surrogate_function,
                detach_reset=module.detach_reset,
                step_mode=module.step_mode,
            )
            _replace(model, module, fixed.eval())
