"""What each function between modules does, as operations: additions, reshapes, sums over time.

A function is known by torch's own name for it (`a + b`, `torch.add(a, b)` and `a.add(b)` are all "add"). Functions that are
not in the tables and touch a tensor that depends on the input are refused by that name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from filopodia.errors import UnsupportedError

from .modules import add_flatten
from .ops import Add, Gain, Shape, Shift
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
    constant = torch.as_tensor(value, dtype=torch.float32).detach()
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


def _over_time(tracer: Tracer, name: str, marks: Marks, args: Any, kwargs: Any, result: Tensor) -> tuple[int, Lead]:
    mark = marks[0]
    assert mark is not None
    dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
    dim = dim[0] if isinstance(dim, tuple | list) and len(dim) == 1 else dim
    if mark.lead is not Lead.STEPS_SAMPLES or dim != 0 or kwargs.get("keepdim"):
        raise UnsupportedError(
            f"{name} over dim {dim}", where=tracer.here, allowed=f"{name}(0) over the steps of a multi-step model, at its end"
        )
    if tracer.over_time not in ("", name):
        raise UnsupportedError(
            "some outputs are summed over time and some averaged", where=tracer.here, fix="return the sequences"
        )
    tracer.over_time = name
    return mark.number, Lead.OVER


IN_PLACE = {"add_", "sub_"}
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
    "mean": _over_time,
    "sum": _over_time,
}
