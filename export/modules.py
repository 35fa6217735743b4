"""What each torch and SpikingJelly module does, as operations.

A module is understood when its class, or the class it inherits everything from, is in `HANDLERS`; then nothing inside it is
looked at. Other modules are walked through: the modules and functions they call are seen instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from spikingjelly.activation_based import base as sj_base
from spikingjelly.activation_based import layer as sj_layer
from torch import Tensor, nn

from filopodia.errors import UnsupportedError

from .containers import ONE_STEP, trace_one_step
from .neurons import READERS, WITHOUT_SPIKES, known_class, read_neuron
from .ops import Conv, Dense, Flat, Gain, Norm, Pool, Shape
from .trace import Lead, Mark, Tracer, on_sequences

Handler = Callable[[Tracer, Any, Mark, Shape, Shape], int]
Hook = Callable[..., None]


def on_module(tracer: Tracer, module: nn.Module) -> tuple[Hook, Hook]:
    """The hooks that watch one module: before and after its forward."""
    known = known_class(module, (*HANDLERS, *READERS, *ONE_STEP))
    if isinstance(module, sj_layer.StepModeContainer) and not (module.step_mode == "m" and module.stateful):
        known = None  # a plain chain, or one over merged steps and samples: walked through

    def before(module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        tracer.stack.append(module)
        if tracer.inside or known is not None:
            tracer.inside += 1
        elif isinstance(module, sj_base.MemoryModule):
            _refuse_memory(tracer, module)

    def after(module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object], result: object) -> None:
        if tracer.inside == 1 and known is not None:
            _write_down(tracer, module, known, args, kwargs, result)
        tracer.inside = max(tracer.inside - 1, 0)
        tracer.stack.pop()

    return before, after


def _write_down(
    tracer: Tracer, module: nn.Module, known: type, args: tuple[object, ...], kwargs: dict[str, object], result: object
) -> None:
    mark = tracer.mark_of(args[0]) if len(args) == 1 and not kwargs else None
    if mark is None:
        marked = [a for a in (*args, *kwargs.values()) if tracer.mark_of(a) is not None]
        if not marked:
            return  # a constant stays a constant: whoever adds it to a marked tensor decides
        raise UnsupportedError(
            f"called with {len(args)} positional and {len(kwargs)} named inputs", where=tracer.here, allowed="one tensor"
        )
    if known in WITHOUT_SPIKES:
        _without_spikes(tracer, module, mark, args[0], result)
        return
    if known in ONE_STEP:
        trace_one_step(tracer, module, mark, args[0], result, ONE_STEP[known])
        return
    if not isinstance(result, Tensor):
        raise UnsupportedError(f"returns a {type(result).__name__}", where=tracer.here, allowed="one tensor")
    if mark.lead is Lead.OVER:
        raise UnsupportedError(
            "works on what was summed over time already", where=tracer.here, fix="sum over time after the last layer"
        )
    source, axes = args[0], mark.lead.axes
    assert isinstance(source, Tensor)
    shapes = tuple(source.shape[axes:]), tuple(result.shape[axes:])
    number = _neuron(tracer, module, mark, *shapes) if known in READERS else HANDLERS[known](tracer, module, mark, *shapes)
    if result is not source:
        tracer.mark(result, number, mark.lead)
    elif number != mark.number:
        raise UnsupportedError("changes its input in place", where=tracer.here, fix="build it with inplace=False")


def _refuse_memory(tracer: Tracer, module: nn.Module) -> None:
    """A stateful module that is not in the tables: say whether it is a changed copy of one that is."""
    bases = [cls.__name__ for cls in type(module).__mro__[1:] if cls in READERS or cls in HANDLERS]
    what = f"a {type(module).__name__} that changes methods of {bases[0]}" if bases else f"a {type(module).__name__}"
    allowed = ", ".join(sorted(cls.__name__ for cls in READERS))
    raise UnsupportedError(f"{what} has a state whose arithmetic is not known", where=tracer.here, allowed=allowed)


def _per_sample(tracer: Tracer, module: nn.Module, mark: Mark) -> None:
    """Check that the axes in front are those that the module believes to see: a wrong axis would mix steps and samples."""
    multi = on_sequences(module)
    if multi != (mark.lead is Lead.STEPS_SAMPLES):
        expected = "[T, N, ...] (step_mode 'm')" if multi else "[N, ...], without a time axis"
        raise UnsupportedError(
            f"works on {expected}, but got {mark.lead.name.lower().replace('_', ' ')}",
            where=tracer.here,
            fix="functional.set_step_mode(model, 'm') for all layers, or wrap stateless ones in layer.SeqToANNContainer",
        )


def _neuron(tracer: Tracer, module: nn.Module, mark: Mark, shape: Shape, out: Shape) -> int:
    if not isinstance(module, tuple(WITHOUT_SPIKES)):
        _per_sample(tracer, module, mark)
    if mark.lead is Lead.MERGED:
        raise UnsupportedError(
            "a single-step neuron works on steps and samples in one axis", where=tracer.here, fix="set step_mode 'm'"
        )
    if module in tracer.called:
        raise UnsupportedError(
            "this neuron is called more than once in one forward: its state would be shared",
            where=tracer.here,
            fix="one neuron module per layer; where forward loops over time, use step_mode 'm' or export a single step",
        )
    tracer.called.add(module)
    neuron = read_neuron(module, tracer.here)
    assert neuron is not None
    return tracer.add(
        tracer.path or type(module).__name__.lower(), neuron, (mark.number,), out, binary=neuron.fires, module=module
    )


def _without_spikes(tracer: Tracer, module: Any, mark: Mark, source: object, result: object) -> None:
    """SpikingJelly's NonSpiking neurons give a list of voltages, or one summary of them over time."""
    if mark.lead is not Lead.STEPS_SAMPLES:
        raise UnsupportedError("works on [T, N, ...]", where=tracer.here, fix="set step_mode 'm' for the model")
    assert isinstance(source, Tensor)
    number = _neuron(tracer, module, mark, tuple(source.shape[2:]), tuple(source.shape[2:]))
    if isinstance(result, Tensor):
        tracer.say_over_time({"mean-mem": "mean", "last_mem": "last"}.get(module.decode, module.decode))
        tracer.mark(result, number, Lead.OVER)
    elif isinstance(result, list):
        for voltage in result:
            tracer.mark(voltage, number, Lead.SLICE)


def _identity(tracer: Tracer, module: nn.Module, mark: Mark, shape: Shape, out: Shape) -> int:
    return mark.number


def _linear(tracer: Tracer, module: nn.Linear, mark: Mark, shape: Shape, out: Shape) -> int:
    if len(shape) != 1:
        raise UnsupportedError(
            f"a Linear on the last axis of {list(shape)}", where=tracer.here, allowed="a vector per sample", fix="flatten first"
        )
    return tracer.add(
        _name(tracer, "linear"), Dense(module.weight.detach().cpu(), _detached(module.bias)), (mark.number,), out, module=module
    )


def _conv(tracer: Tracer, module: nn.Conv1d | nn.Conv2d, mark: Mark, shape: Shape, out: Shape) -> int:
    _per_sample(tracer, module, mark)
    if module.padding_mode != "zeros":
        raise UnsupportedError(f"padding_mode {module.padding_mode!r}", where=tracer.here, allowed="'zeros'")
    if isinstance(module.padding, str):
        total = [
            d * (k - 1) if module.padding == "same" else 0 for d, k in zip(module.dilation, module.kernel_size, strict=True)
        ]
        if any(t % 2 for t in total):
            raise UnsupportedError(
                "padding 'same' with an even kernel pads one side more", where=tracer.here, fix="use an odd kernel"
            )
        padding = tuple(t // 2 for t in total)
    else:
        padding = tuple(module.padding)
    what = Conv(
        module.weight.detach().cpu(),
        _detached(module.bias),
        tuple(module.stride),
        padding,
        tuple(module.dilation),
        module.groups,
    )
    return tracer.add(_name(tracer, "conv"), what, (mark.number,), out, module=module)


def _detached(bias: Tensor | None) -> Tensor | None:
    return None if bias is None else bias.detach().cpu()


def _norm(tracer: Tracer, module: nn.BatchNorm1d | nn.BatchNorm2d, mark: Mark, shape: Shape, out: Shape) -> int:
    _per_sample(tracer, module, mark)
    if module.running_mean is None or module.running_var is None:
        raise UnsupportedError(
            "BatchNorm without running statistics depends on the batch", where=tracer.here, fix="track_running_stats=True"
        )
    scale = torch.rsqrt(module.running_var.detach().double() + module.eps)
    if module.weight is not None:
        scale = scale * module.weight.detach().double()
    shift = -module.running_mean.detach().double() * scale
    if module.bias is not None:
        shift = shift + module.bias.detach().double()
    return tracer.add(_name(tracer, "norm"), Norm(scale.cpu(), shift.cpu()), (mark.number,), out, module=module)


def _average(tracer: Tracer, module: nn.AvgPool1d | nn.AvgPool2d, mark: Mark, shape: Shape, out: Shape) -> int:
    _per_sample(tracer, module, mark)
    rank = 2 if isinstance(module, nn.AvgPool2d) else 1
    kernel, padding = _tuple(module.kernel_size, rank), _tuple(module.padding, rank)
    stride = _tuple(module.stride if module.stride is not None else module.kernel_size, rank)
    if any(padding) and not module.count_include_pad:
        raise UnsupportedError(
            "count_include_pad=False divides border windows differently", where=tracer.here, fix="count_include_pad=True"
        )
    _whole_windows(tracer, module.ceil_mode, shape[-rank:], out[-rank:], kernel, stride, padding)
    divisor = getattr(module, "divisor_override", None)
    what = Pool("average" if divisor is None else "sum", kernel, stride, padding)
    pooled = tracer.add(_name(tracer, "pool"), what, (mark.number,), out, module=module)
    if divisor in (None, 1):
        return pooled
    return tracer.add(f"{_name(tracer, 'pool')}.divided", Gain(torch.tensor(1.0 / divisor)), (pooled,), out)


def _whole_windows(tracer: Tracer, ceil: bool, shape: Shape, out: Shape, kernel: Shape, stride: Shape, padding: Shape) -> None:
    floor = tuple((n + 2 * p - k) // s + 1 for n, p, k, s in zip(shape, padding, kernel, stride, strict=True))
    if ceil and floor != out:
        raise UnsupportedError(
            "ceil_mode=True adds windows that are cut off", where=tracer.here, fix="pad the input, or ceil_mode=False"
        )


def _maximum(tracer: Tracer, module: nn.MaxPool1d | nn.MaxPool2d, mark: Mark, shape: Shape, out: Shape) -> int:
    _per_sample(tracer, module, mark)
    rank = 2 if isinstance(module, nn.MaxPool2d) else 1
    kernel, padding = _tuple(module.kernel_size, rank), _tuple(module.padding, rank)
    stride = _tuple(module.stride if module.stride is not None else module.kernel_size, rank)
    if set(_tuple(module.dilation, rank)) != {1}:
        raise UnsupportedError("dilated max pooling", where=tracer.here, allowed="dilation=1")
    _whole_windows(tracer, module.ceil_mode, shape[-rank:], out[-rank:], kernel, stride, padding)
    binary = tracer.ops[mark.number].binary
    what = Pool("max", kernel, stride, padding)
    return tracer.add(_name(tracer, "pool"), what, (mark.number,), out, binary=binary, module=module)


def _adaptive(tracer: Tracer, module: nn.Module, mark: Mark, shape: Shape, out: Shape) -> int:
    _per_sample(tracer, module, mark)
    return add_adaptive(tracer, _name(tracer, "pool"), mark, shape, out, module)


def add_adaptive(tracer: Tracer, name: str, mark: Mark, shape: Shape, out: Shape, module: nn.Module | None = None) -> int:
    """Adaptive averaging as average pooling, where all its windows are the same."""
    uneven = [f"{n} to {m}" for n, m in zip(shape[1:], out[1:], strict=True) if n % m]
    if uneven:
        raise UnsupportedError(
            f"adaptive pooling from {', '.join(uneven)} has windows of different sizes",
            where=tracer.here,
            allowed="output sizes that divide the input's",
        )
    kernel = tuple(n // m for n, m in zip(shape[1:], out[1:], strict=True))
    what = Pool("average", kernel, kernel, (0,) * len(kernel))
    return tracer.add(name, what, (mark.number,), out, module=module)


def _flatten(tracer: Tracer, module: nn.Flatten, mark: Mark, shape: Shape, out: Shape) -> int:
    axes = mark.lead.axes
    if isinstance(module, sj_base.StepModule):
        _per_sample(tracer, module, mark)
        axes = 1  # SpikingJelly's Flatten sees one leading axis in both step modes
    rank = len(shape) + axes
    start, end = module.start_dim % rank - axes, module.end_dim % rank - axes
    return add_flatten(tracer, _name(tracer, "flatten"), mark, start, end, shape, out)


def add_flatten(tracer: Tracer, name: str, mark: Mark, start: int, end: int, shape: Shape, out: Shape) -> int:
    """Merge feature axes `start` to `end`; axes before 0 are steps or samples and must not take part."""
    if start < 0:
        raise UnsupportedError(
            "flattens samples or steps into the features", where=tracer.here, allowed="start_dim >= 1 (2 with a time axis)"
        )
    if start >= end:
        return mark.number
    return tracer.add(name, Flat(start, end), (mark.number,), out, binary=tracer.ops[mark.number].binary)


def _vote(tracer: Tracer, module: Any, mark: Mark, shape: Shape, out: Shape) -> int:
    """Averages of neighbouring neurons. At the end of the model they are the read-out, elsewhere they are a linear layer."""
    _per_sample(tracer, module, mark)
    size = int(module.voting_size)
    if len(shape) != 1 or shape[0] % size:
        raise UnsupportedError(
            f"{size} votes per class from shape {list(shape)}", where=tracer.here, allowed="a vector of classes x votes"
        )
    weight = torch.eye(out[0]).repeat_interleave(size, dim=1) / size
    return tracer.add(_name(tracer, "vote"), Dense(weight, None), (mark.number,), out, module=module)


def _name(tracer: Tracer, fallback: str) -> str:
    return tracer.path or fallback


def _tuple(value: int | tuple[int, ...], rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(value) * (rank if len(value) == 1 else 1)


HANDLERS: dict[type[nn.Module], Handler] = {
    nn.Identity: _identity,
    nn.Dropout: _identity,
    nn.Dropout1d: _identity,
    nn.Dropout2d: _identity,
    sj_layer.Dropout: _identity,
    sj_layer.Dropout2d: _identity,
    nn.Linear: _linear,
    sj_layer.Linear: _linear,
    nn.Conv1d: _conv,
    sj_layer.Conv1d: _conv,
    nn.Conv2d: _conv,
    sj_layer.Conv2d: _conv,
    nn.BatchNorm1d: _norm,
    sj_layer.BatchNorm1d: _norm,
    nn.BatchNorm2d: _norm,
    sj_layer.BatchNorm2d: _norm,
    nn.AvgPool1d: _average,
    sj_layer.AvgPool1d: _average,
    nn.AvgPool2d: _average,
    sj_layer.AvgPool2d: _average,
    nn.MaxPool1d: _maximum,
    sj_layer.MaxPool1d: _maximum,
    nn.MaxPool2d: _maximum,
    sj_layer.MaxPool2d: _maximum,
    nn.AdaptiveAvgPool1d: _adaptive,
    sj_layer.AdaptiveAvgPool1d: _adaptive,
    nn.AdaptiveAvgPool2d: _adaptive,
    sj_layer.AdaptiveAvgPool2d: _adaptive,
    nn.Flatten: _flatten,
    sj_layer.Flatten: _flatten,
    sj_layer.VotingLayer: _vote,
}
