"""Containers that loop over time themselves: traced for one step, by hand.

Inside them modules work on [N, ...]. A recurrent one feeds its own output of the step before back in; that becomes a `Previous`
operation, and in NIR an edge that closes a loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from spikingjelly.activation_based import layer as sj_layer
from torch import Tensor, nn

from filopodia.errors import UnsupportedError

from .ops import Neuron, Op, Previous
from .trace import Lead, Mark, Tracer, kept_states, on_sequences

OneStep = Callable[[Any, Tensor, Callable[[tuple[int, ...]], Tensor]], Tensor]


def trace_one_step(tracer: Tracer, module: nn.Module, mark: Mark, source: object, result: object, one_step: OneStep) -> None:
    """Write down what a container does in a step, and mark its output."""
    if mark.lead not in (Lead.STEPS_SAMPLES, Lead.SAMPLES) or (mark.lead is Lead.STEPS_SAMPLES) != on_sequences(module):
        raise UnsupportedError("the container's step_mode is not that of its input", where=tracer.here, fix="set step_mode 'm'")
    assert isinstance(source, Tensor)
    assert isinstance(result, Tensor)
    first = source[0] if mark.lead is Lead.STEPS_SAMPLES else source
    x = tracer.mark(first.detach().clone(), mark.number, Lead.SAMPLES)
    feedback: list[int] = []

    def previous(shape: tuple[int, ...]) -> Tensor:
        number = tracer.add(tracer.function_name("previous"), Previous(), (), shape, binary=True)
        feedback.append(number)
        return tracer.mark(torch.zeros(x.shape[0], *shape, device=x.device), number, Lead.SAMPLES)

    depth, tracer.inside = tracer.inside, 0
    with kept_states(module):
        out = one_step(module, x, previous)
    tracer.inside = depth
    end = tracer.mark_of(out)
    if end is None or end.lead is not Lead.SAMPLES:
        raise UnsupportedError("the container's output does not come from its input", where=tracer.here)
    for number in feedback:
        neuron = tracer.ops[end.number]
        if not (isinstance(neuron.what, Neuron) and neuron.what.fires):
            raise UnsupportedError(
                f"feeds back {neuron.name}, which is not a spiking neuron",
                where=tracer.here,
                fix="end the sub-module with the neuron",
            )
        old = tracer.ops[number]
        tracer.ops[number] = Op(old.name, Previous(), (end.number,), old.shape, binary=True)
    tracer.mark(result, end.number, mark.lead)


def _multi_step(module: nn.Sequential, x: Tensor, previous: Callable[[tuple[int, ...]], Tensor]) -> Tensor:
    for one in module:
        x = one(x)
    return x


def _linear(module: Any, x: Tensor, previous: Callable[[tuple[int, ...]], Tensor]) -> Tensor:
    y = previous((int(module.sub_module_out_features),))
    out: Tensor = module.sub_module(module.rc(torch.cat((x, y), dim=-1)))
    return out


def _elementwise(module: Any, x: Tensor, previous: Callable[[tuple[int, ...]], Tensor]) -> Tensor:
    out: Tensor = module.sub_module(module.element_wise_function(previous(tuple(x.shape[1:])), x))
    return out


ONE_STEP: dict[type[nn.Module], OneStep] = {
    sj_layer.MultiStepContainer: _multi_step,
    sj_layer.StepModeContainer: _multi_step,
    sj_layer.LinearRecurrentContainer: _linear,
    sj_layer.ElementWiseRecurrentContainer: _elementwise,
}
