"""`fold`: the trained model as it will be exported, still a torch model: BatchNorm in the weights, sums exact in any order."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import replace

import torch
from spikingjelly.activation_based import neuron as sj
from spikingjelly.activation_based.layer import VotingLayer
from torch import nn
from torch.nn.utils import parametrize

from filopodia.errors import UnsupportedError

from .affine import scaled
from .exact import snapped
from .lower import absorb
from .neurons import read_neuron
from .ops import Conv, Dense, Graph, Neuron, Norm
from .trace import Sample, trace


def fold(model: nn.Module, sample: Sample) -> nn.Module:
    """A copy of `model` that computes what its NIR file will say, bit for bit, and is otherwise used like it.

    BatchNorms behind a Conv or Linear become Identity, their scale and shift part of its weights (zeros stay zeros); LIF
    neurons that do not divide their input by tau get it from the weights too; ParametricLIF becomes LIF; and weights of layers
    that read spikes are moved to a grid (by some 2^-24 of their sum) on which every order of summation gives the same float32.
    So torch, NIR, ONNX and the simulator agree on every spike of the folded model, except behind the layers that
    `order_dependent` lists: those that read analog values.

    `sample` is as for `to_nir`. Raises UnsupportedError where a layer is used twice and would need two sets of weights.
    """
    folded = copy.deepcopy(model)
    graph = trace(folded, sample)
    after = snapped(_tau_in_weights(absorb(graph, (Norm,))))
    for number in set(graph.ops) - set(after.ops):
        norm = graph.ops[number].module
        assert norm is not None
        if any(op.module is norm for op in after.ops.values()):
            raise UnsupportedError("a BatchNorm that is used twice, behind different layers", where=graph.ops[number].name)
        _replace(folded, norm, nn.Identity().eval())
    uses = Counter(op.module for op in after.ops.values())
    for number, op in after.ops.items():
        before = graph.ops[number]
        if op.module is None or op.what is before.what or isinstance(op.module, VotingLayer):
            continue
        if uses[op.module] > 1:
            raise UnsupportedError(
                "a layer that is used twice would need two sets of weights", where=op.name, fix="export without fold"
            )
        if isinstance(op.what, Dense | Conv):
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
