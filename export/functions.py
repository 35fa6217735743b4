"""What each function between modules does, as operations: additions, reshapes, sums over time.

A function is known by torch's own name for it (`a + b`, `torch.add(a, b)` and `a.add(b)` are all "add"). Functions that are
not in the tables and touch a tensor that depends on the input are refused by that name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from filopodia.errors import UnsupportedError

from .modules import HANDLERS, add_adaptive, add_flatten
from .ops import Add, Gain, Join, Shape, Shift, Step
from .trace import Lead, Mark, Tracer

FACTS = {
    "shape",
    "dtype",
    "device",
    "ndim",
    "requires_grad",
    "is_cuda",
    "layout",
    "is_leaf",
    "names",
    "grad_fn",
    "is_sparse",
    "is_quantized",
}
QUESTIONS = {
    "size",
    "dim",
    "numel",
    "nelement",
    "stride",
    "is_contiguous",
    "__len__",
    "is_floating_point",
    "get_device",
    "element_size",
}
SAME = {"detach", "contiguous", "clone", "to", "float", "cpu", "cuda", "requires_grad_", "type_as", "detach_"}


class FunctionWatch(TorchFunctionMode):
    """Sees every torch function that the model calls while it is active."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self.tracer = tracer

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run `func`, and write down what it did if it touched a marked tensor."""
        kwargs = kwargs or {}
        tracer = self.tracer
        if tracer.inside or not any(tracer.mark_of(leaf) for leaf in _leaves((args, kwargs))):
            return func(*args, **kwargs)
        name = getattr(func, "__name__", str(func))
        if name == "__get__":
            fact = getattr(getattr(func, "__self__", None), "__name__", "")
            if fact in FACTS:
                return func(*args, **kwargs)
            if fact != "data":
                self._refuse(f".{fact}")
            return self._same(func, args, kwargs)
        if name in QUESTIONS:
            return func(*args, **kwargs)
        if name in SAME:
            return self._same(func, args, kwargs)
        handler = FUNCTIONS.get(name.removesuffix("_") if name in IN_PLACE else name)
        if handler is None or "out" in kwargs:
            self._refuse(name)
        before = [tracer.mark_of(leaf) for leaf in _leaves((args, kwargs))]  # an operation in place changes the version
        result = func(*args, **kwargs)
        assert handler is not None
        number, lead = handler(tracer, name.strip("_"), before, args, kwargs, result)
        return tracer.mark(result, number, lead)

    def _same(self, func: Any, args: Any, kwargs: Any) -> Any:
        mark = self.tracer.mark_of(args[0])
        result = func(*args, **kwargs)
        if mark is None or not isinstance(result, Tensor):
            self._refuse(getattr(func, "__name__", str(func)))
        elif result.dtype != torch.float32:
            raise UnsupportedError(f"a conversion to {result.dtype}", where=self.tracer.here, allowed="torch.float32")
        else:
            self.tracer.mark(result, mark.number, mark.lead)
        return result

    def _refuse(self, name: str) -> None:
        raise UnsupportedError(
            f"the function {name} on a tensor that depends on the input is not understood",
            where=self.tracer.here,
            allowed=", ".join(sorted({*FUNCTIONS, *SAME})),
            fix="use a module of the support table, or move the computation out of the model",
        )


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, dict):
        yield from _leaves(list(value.values()))
    elif isinstance(value, Tensor):
        yield value


Marks = list[Mark | None]
Function = Callable[[Tracer, str, Marks, Any, Any, Tensor], tuple[int, Lead]]


def _add(tracer: Tracer, name: str, marks: Marks, args: Any, kwargs: Any, result: Tensor) -> tuple[int, Lead]:
    left, right, sign = args[0], args[1] if len(args) > 1 else kwargs["other"], 1.0
    alpha = float(kwargs.get("alpha", 1.0))
    if name == "sub":
        sign = -1.0
    if name == "rsub":
        left, right, sign = right, left, -1.0
    first, second = _part(tracer, left, 1.0, result, marks), _part(tracer, right, sign * alpha, result, marks)
    if isinstance(first, Mark) and isinstance(second, Mark):
        if first.lead is not second.lead:
            raise UnsupportedError("adds tensors whose time axes differ", where=tracer.here)
        number = tracer.add(
            tracer.function_name("add"), Add(), (first.number, second.number), tuple(result.shape[first.lead.axes :])
        )
        return number, first.lead
    mark, constant = (first, second) if isinstance(first, Mark) else (second, first)
    assert isinstance(mark, Mark)
    assert isinstance(constant, Tensor)
    if not bool(constant.any()):
        return mark.number, mark.lead
    number = tracer.add(tracer.function_name("shift"), Shift(constant), (mark.number,), tuple(result.shape[mark.lead.axes :]))
    return number, mark.lead


def _part(tracer: Tracer, value: Any, factor: float, result: Tensor, marks: Marks) -> Mark | Tensor:
    """One operand of a sum times `factor`: a mark, or a constant over the features."""
    known = getattr(value, "_filopodia_mark", None) if isinstance(value, Tensor) else None
    mark: Mark | None = next((m for m in marks if m is not None and m is known), None)
    if mark is None:
        lead = next(m for m in marks if m is not None).lead
        constant: Tensor = constant_over_features(tracer, value, lead.axes, result) * factor
        return constant
    if mark.lead is Lead.OVER:
        raise UnsupportedError(
            "adds what was summed over time already", where=tracer.here, fix="sum over time after the last layer"
        )
    assert isinstance(value, Tensor)
    if value.shape != result.shape:
        raise UnsupportedError(
            f"adds {list(value.shape)} to {list(result.shape)} by broadcasting", where=tracer.here, allowed="equal shapes"
        )
    if factor == 1.0:
        return mark
    shape = tuple(result.shape[mark.lead.axes :])
    number = tracer.add(tracer.function_name("gain"), Gain(torch.tensor(factor)), (mark.number,), shape)
    return Mark(number, mark.lead, mark.version, mark.run)


def constant_over_features(tracer: Tracer, value: Any, axes: int, result: Tensor) -> Tensor:
    """A number or tensor that does not depend on the input, as a tensor over the feature axes alone."""
    constant = torch.as_tensor(value, dtype=torch.float32).detach().cpu()
    if constant.ndim > result.ndim - axes:
        head = constant.shape[: constant.ndim - (result.ndim - axes)]
        if any(size != 1 for size in head):
            raise UnsupportedError(
                f"a constant of shape {list(constant.shape)} that differs over steps or samples", where=tracer.here
            )
        constant = constant.reshape(constant.shape[len(head) :])
    if not bool(torch.isfinite(constant).all()):
        raise UnsupportedError("a constant that is not finite", where=tracer.here)
    return constant


def _reshape(tracer: Tracer, name: str, marks: Marks, args: Any, kwargs: Any, result: Tensor) -> tuple[int, Lead]:
    mark = marks[0]
    assert mark is not None
    lead, features = _new_lead(tracer, name, mark, tuple(result.shape))
    shape = tracer.ops[mark.number].shape
    span = _merged_span(shape, features)
    if span is None:
        raise UnsupportedError(
            f"{name} from {list(shape)} to {list(features)} per sample", where=tracer.here, allowed="merging neighbouring axes"
        )
    return add_flatten(tracer, tracer.function_name("flatten"), mark, *span, shape, features), lead


def _new_lead(tracer: Tracer, name: str, mark: Mark, shape: Shape) -> tuple[Lead, Shape]:
    """Leading axes and feature shape after a reshape, from the sizes: with two or more samples there is one reading only."""
    if mark.lead in (Lead.STEPS_SAMPLES, Lead.MERGED):
        if shape[:2] == (tracer.steps, tracer.samples):
            return Lead.STEPS_SAMPLES, shape[2:]
        if shape[0] == tracer.steps * tracer.samples:
            return Lead.MERGED, shape[1:]
    elif mark.lead is Lead.SAMPLES and shape[0] == tracer.samples:
        return Lead.SAMPLES, shape[1:]
    raise UnsupportedError(f"{name} to {list(shape)} mixes steps or samples with features", where=tracer.here)


def _merged_span(shape: Shape, features: Shape) -> tuple[int, int] | None:
    """The axes (start, end) whose merging turns `shape` into `features`; (0, 0) for no change, None where there are none."""
    if shape == features:
        return 0, 0
    for start in range(len(shape)):
        for end in range(start + 1, len(shape)):
            size = 1
            for axis in shape[start : end + 1]:
                size *= axis
            if (*shape[:start], size, *shape[end + 1 :]) == features:
                return start, end
    return None


def _mean_or_sum(tracer: Tracer, name: str, marks: Marks, args: Any, kwargs: Any, result: Tensor) -> tuple[int, Lead]:
    """Over the steps at the model's end, or the mean over all spatial axes (a global average pooling)."""
    mark = marks[0]
    assert mark is not None
    dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
    keep = bool(kwargs.get("keepdim", args[2] if len(args) > 2 else False))
    shape, axes = tracer.ops[mark.number].shape, mark.lead.axes
    dims = [] if dim is None else sorted(d % (len(shape) + axes) for d in (dim if isinstance(dim, tuple | list) else [dim]))
    if mark.lead is Lead.STEPS_SAMPLES and dims == [0] and not keep:
        tracer.say_over_time(name)
        return mark.number, Lead.OVER
    if name != "mean" or len(shape) < 2 or dims != list(range(axes + 1, axes + len(shape))):
        allowed = "sum(0) or mean(0) over the steps at the end of a multi-step model, or the mean over all spatial axes"
        raise UnsupportedError(f"{name} over dim {dim}", where=tracer.here, allowed=allowed)
    pooled = (shape[0], *(1,) * (len(shape) - 1))
    number = add_adaptive(tracer, tracer.function_name("mean"), mark, shape, pooled)
    if keep:
        return number, mark.lead
    flat = Mark(number, mark.lead, mark.version, mark.run)
    return add_flatten(tracer, tracer.function_name("flatten"), flat, 0, len(shape) - 1, pooled, (shape[0],)), mark.lead


def _multiply(tracer: Tracer, name: str, marks: Marks, args: Any, kwargs: Any, result: Tensor) -> tuple[int, Lead]:
    """A constant factor; or AND of spikes, x * y, and IAND, x * (1 - y)."""
    left, right = args[0], args[1] if len(args) > 1 else kwargs["other"]
    first, second = _part(tracer, left, 1.0, result, marks), _part(tracer, right, 1.0, result, marks)
    if isinstance(first, Mark) and isinstance(second, Mark):
        return _both(tracer, first, second), first.lead
    mark, factor = (first, second) if isinstance(first, Mark) else (second, first)
    assert isinstance(mark, Mark)
    assert isinstance(factor, Tensor)
    if name == "div":
        if factor is first:
            raise UnsupportedError("divides by a tensor that depends on the input", where=tracer.here)
        factor = 1.0 / factor.double()
    shape = tuple(result.shape[mark.lead.axes :])
    return tracer.add(tracer.function_name("gain"), Gain(factor), (mark.number,), shape), mark.lead


def _both(tracer: Tracer, first: Mark, second: Mark) -> int:
    """The product of two tensors that depend on the input: of spikes only, as a step of a sum."""
    if first.lead is not second.lead:
        raise UnsupportedError("multiplies tensors whose time axes differ", where=tracer.here)
    x, y, negated = first.number, second.number, _inverted(tracer, second.number)
    if negated is None and _inverted(tracer, x) is not None:
        x, y, negated = y, x, _inverted(tracer, x)
    other = y if negated is None else negated
    shape = tracer.ops[x].shape
    if not (tracer.ops[x].binary and tracer.ops[other].binary):
        raise UnsupportedError(
            "multiplies two tensors that depend on the input and are not both spikes",
            where=tracer.here,
            allowed="spikes * spikes (AND) and spikes * (1 - spikes) (IAND), or a constant factor",
            fix="connect with ADD",
        )
    if negated is not None:
        other = tracer.add(tracer.function_name("iand.not"), Gain(torch.tensor(-1.0)), (negated,), shape)
    kind, threshold = ("and", 1.5) if negated is None else ("iand", 0.5)
    total = tracer.add(tracer.function_name(f"{kind}.sum"), Add(), (x, other), shape)
    return tracer.add(tracer.function_name(kind), Step(threshold), (total,), shape, binary=True)


def _inverted(tracer: Tracer, number: int) -> int | None:
    """y where the operation is 1 - y, else None."""
    op = tracer.ops[number]
    if not (isinstance(op.what, Shift) and bool((op.what.constant == 1).all())):
        return None
    inner = tracer.ops[op.inputs[0]]
    return inner.inputs[0] if isinstance(inner.what, Gain) and bool((inner.what.factor == -1).all()) else None


def _negate(tracer: Tracer, name: str, marks: Marks, args: Any, kwargs: Any, result: Tensor) -> tuple[int, Lead]:
    mark = marks[0]
    assert mark is not None
    shape = tracer.ops[mark.number].shape
    return tracer.add(tracer.function_name("gain"), Gain(torch.tensor(-1.0)), (mark.number,), shape), mark.lead


def _concatenate(tracer: Tracer, name: str, marks: Marks, args: Any, kwargs: Any, result: Tensor) -> tuple[int, Lead]:
    parts = list(args[0] if args else kwargs["tensors"])
    dim = kwargs.get("dim", args[1] if len(args) > 1 else 0) % result.ndim
    known = [m for m in marks if m is not None]
    if len(known) != len(parts):
        raise UnsupportedError("concatenates with a constant", where=tracer.here, allowed="tensors that depend on the input")
    if len({m.lead for m in known}) > 1 or known[0].lead is Lead.OVER:
        raise UnsupportedError("concatenates tensors whose time axes differ", where=tracer.here)
    axis = dim - known[0].lead.axes
    if axis != 0:
        raise UnsupportedError(
            f"concatenates along dim {dim}", where=tracer.here, allowed="the channels (the first axis after the samples)"
        )
    binary = all(tracer.ops[m.number].binary for m in known)
    shape = tuple(result.shape[known[0].lead.axes :])
    return tracer.add(tracer.function_name("cat"), Join(axis), tuple(m.number for m in known), shape, binary=binary), known[
        0
    ].lead


def _stack(tracer: Tracer, name: str, marks: Marks, args: Any, kwargs: Any, result: Tensor) -> tuple[int, Lead]:
    """A list over time, as SpikingJelly's NonSpiking neurons give it, back to one tensor."""
    known = [m for m in marks if m is not None]
    dim = kwargs.get("dim", args[1] if len(args) > 1 else 0)
    if dim != 0 or len(known) != tracer.steps or len({m.number for m in known}) > 1 or known[0].lead is not Lead.SLICE:
        raise UnsupportedError("stacks tensors that are not the steps of one layer", where=tracer.here)
    return known[0].number, Lead.STEPS_SAMPLES


def _dropout(tracer: Tracer, name: str, marks: Marks, args: Any, kwargs: Any, result: Tensor) -> tuple[int, Lead]:
    mark = marks[0]
    assert mark is not None
    if kwargs.get("training", args[2] if len(args) > 2 else True):
        raise UnsupportedError("F.dropout that is always on", where=tracer.here, fix="pass training=self.training")
    return mark.number, mark.lead


def _pooling(kind: type[nn.Module]) -> Function:
    """F.avg_pool2d(x, ...) and its kin, as the module of the same arguments."""

    def handle(tracer: Tracer, name: str, marks: Marks, args: Any, kwargs: Any, result: Tensor) -> tuple[int, Lead]:
        mark = marks[0]
        assert mark is not None
        module = kind(*args[1:], **{key: value for key, value in kwargs.items() if key != "input"})
        axes = mark.lead.axes
        shape, out = tracer.ops[mark.number].shape, tuple(result.shape[axes:])
        number = HANDLERS[kind](tracer, module, mark, shape, out)
        tracer.ops[number] = replace(tracer.ops[number], module=None, name=tracer.renamed(number, tracer.function_name(name)))
        return number, mark.lead

    return handle


IN_PLACE = {"add_", "sub_", "mul_", "div_"}
FUNCTIONS: dict[str, Function] = {
    "add": _add,
    "__radd__": _add,
    "sub": _add,
    "__rsub__": _add,
    "rsub": _add,
    "flatten": _reshape,
    "unflatten": _reshape,
    "view": _reshape,
    "reshape": _reshape,
    "squeeze": _reshape,
    "mean": _mean_or_sum,
    "sum": _mean_or_sum,
    "mul": _multiply,
    "__rmul__": _multiply,
    "div": _multiply,
    "true_divide": _multiply,
    "neg": _negate,
    "cat": _concatenate,
    "concat": _concatenate,
    "stack": _stack,
    "avg_pool2d": _pooling(nn.AvgPool2d),
    "max_pool2d": _pooling(nn.MaxPool2d),
    "avg_pool1d": _pooling(nn.AvgPool1d),
    "max_pool1d": _pooling(nn.MaxPool1d),
    "adaptive_avg_pool2d": _pooling(nn.AdaptiveAvgPool2d),
    "dropout": _dropout,
}
