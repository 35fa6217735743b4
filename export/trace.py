"""Watching a model run once, and writing down what it does.

The model runs as it is, on a real sample. Forward hooks see every module, a `TorchFunctionMode` sees every function between
modules, and each tensor that depends on the input carries a mark saying which operation made it. Modules and functions that
are understood exactly become operations; anything else that touches a marked tensor is refused by name. Nothing is read from
the values but whether the inputs are spikes.

A marked tensor also says what its leading axes are (`Lead`), so that an operation mixing samples or steps is noticed, and
remembers its version, so that a change in place behind our back is noticed too.
"""

from __future__ import annotations

import copy
import inspect
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import Enum

import torch
from spikingjelly.activation_based import base as sj_base
from torch import Tensor, nn

from filopodia.errors import InputError, UnsupportedError

from .ops import Graph, Op, Shape, Source, What

Sample = Tensor | Sequence[Tensor] | Mapping[str, Tensor]


class Lead(Enum):
    """The axes before the feature axes."""

    STEPS_SAMPLES = 2  # [T, N, ...]
    MERGED = 1  # [T * N, ...]
    SAMPLES = 0  # [N, ...], one step
    SLICE = -2  # [N, ...], one of T equal operations: an element of a list over time
    OVER = -1  # [N, ...], summed or averaged over time: only the model's end may look like this

    @property
    def axes(self) -> int:
        """How many axes."""
        return 2 if self is Lead.STEPS_SAMPLES else 1


@dataclass(frozen=True)
class Mark:
    """What a tensor is: the operation that made it, its leading axes, and its version when it was made."""

    number: int
    lead: Lead
    version: int
    run: object


@dataclass
class Tracer:
    """The state of one run. Handlers in `modules` and `functions` call `add`, `mark` and `place`."""

    model: nn.Module
    samples: int
    steps: int
    ops: dict[int, Op] = field(default_factory=dict)
    names: set[str] = field(default_factory=lambda: {"input", "output"})
    paths: dict[nn.Module, str] = field(default_factory=dict)
    stack: list[nn.Module] = field(default_factory=list)
    inside: int = 0  # depth of modules whose inner working is not looked at
    called: set[nn.Module] = field(default_factory=set)
    votes: int = 1
    over_time: str = ""
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    # --- marks
    def mark_of(self, tensor: object) -> Mark | None:
        """The mark of a tensor that depends on the input, else None."""
        mark: Mark | None = getattr(tensor, "_filopodia_mark", None) if isinstance(tensor, Tensor) else None
        if mark is None or mark.run is not self.ops:
            return None
        if isinstance(tensor, Tensor) and tensor._version != mark.version:
            raise UnsupportedError(
                f"the output of {self.ops[mark.number].name} was changed in place through another tensor",
                where=self.here,
                fix="write the operation out of place (a + b instead of +=)",
            )
        return mark

    def mark(self, tensor: Tensor, number: int, lead: Lead) -> Tensor:
        """Say that `tensor` is the output of operation `number`."""
        tensor._filopodia_mark = Mark(number, lead, tensor._version, self.ops)  # type: ignore[attr-defined]
        return tensor

    # --- operations
    def add(
        self,
        name: str,
        what: What,
        inputs: tuple[int, ...],
        shape: Shape,
        *,
        binary: bool = False,
        module: nn.Module | None = None,
    ) -> int:
        """Append an operation and return its number."""
        number = next(self._numbers)
        self.ops[number] = Op(self.free_name(name), what, inputs, tuple(shape), binary=binary, module=module)
        return number

    def free_name(self, wanted: str) -> str:
        """`wanted` without what NIR files cannot hold, numbered when it is taken."""
        clean = wanted.replace("/", "_").strip(".") or "layer"
        name, count = clean, 2
        while name in self.names:
            name, count = f"{clean}_{count}", count + 1
        self.names.add(name)
        return name

    def renamed(self, number: int, wanted: str) -> str:
        """A free name for an operation in place of the one it has."""
        self.names.discard(self.ops[number].name)
        return self.free_name(wanted)

    def say_over_time(self, name: str) -> None:
        """The model ends in `name` over time."""
        if self.over_time not in ("", name):
            raise UnsupportedError("outputs are summarised over time in two ways", where=self.here, fix="return the sequences")
        self.over_time = name

    # --- where we are
    @property
    def path(self) -> str:
        """The path of the module whose forward is running, "" for the model itself."""
        return self.paths.get(self.stack[-1], type(self.stack[-1]).__name__) if self.stack else ""

    @property
    def here(self) -> str:
        """For messages: the path and class of the module whose forward is running."""
        module = self.stack[-1] if self.stack else self.model
        return f"{self.path or 'the model'} ({type(module).__name__})"

    def function_name(self, function: str) -> str:
        """A node name for a function called in the module that is running."""
        return f"{self.path}.{function}" if self.path else function


def trace(model: nn.Module, sample: Sample) -> Graph:
    """Run `model` on `sample` once and return the operations it consists of.

    `sample` is one tensor ([T, N, *shape] for a multi-step model, else [N, *shape]), or a tuple or dict of them for a model
    with several inputs. The model must be in evaluation mode; its states are put back afterwards.
    Raises UnsupportedError, naming the module or function, for anything that is not understood exactly.
    """
    from .functions import FunctionWatch
    from .modules import on_module

    _check_model(model)
    inputs = input_names(model, sample)
    many = multi_step(model)
    _check_inputs(inputs, many)
    first = next(iter(inputs.values()))
    steps, samples = (first.shape[0], first.shape[1]) if many else (1, first.shape[0])
    tracer = Tracer(model, max(samples, 2), steps)
    for path, module in model.named_modules():
        tracer.paths.setdefault(module, path)
    lead = Lead.STEPS_SAMPLES if many else Lead.SAMPLES
    names: dict[str, int] = {}
    tensors: dict[str, Tensor] = {}
    with ExitStack() as scope:
        scope.enter_context(torch.inference_mode(False))
        scope.enter_context(torch.no_grad())
        scope.enter_context(kept_states(model))
        for name, x in inputs.items():
            # with two samples or more, [T * N] and [T, N] cannot be mistaken for each other
            own = x.detach().clone() if samples > 1 else torch.cat([x.detach()] * 2, dim=int(many))
            node = "input" if len(inputs) == 1 else f"input.{name}"
            binary = bool(((own == 0) | (own == 1)).all())
            number = next(tracer._numbers)
            tracer.ops[number] = Op(node, Source(), (), tuple(own.shape[lead.axes :]), binary=binary)
            tracer.names.add(node)
            names[node] = number
            tensors[name] = tracer.mark(own, number, lead)
        for module in model.modules():
            before, after = on_module(tracer, module)
            scope.callback(module.register_forward_pre_hook(before, with_kwargs=True).remove)
            scope.callback(module.register_forward_hook(after, with_kwargs=True).remove)
        with FunctionWatch(tracer):
            result = model(**tensors) if isinstance(sample, Mapping) else model(*tensors.values())
        outputs = _named_outputs(tracer, result)
    return Graph(tracer.ops, names, outputs, votes=tracer.votes, over_time=tracer.over_time)


def multi_step(model: nn.Module) -> bool:
    """Whether the model takes [T, N, ...]: some module of it works on sequences."""
    return any(on_sequences(module) for module in model.modules())


def on_sequences(module: nn.Module) -> bool:
    """Whether a module itself takes [T, N, ...]."""
    return getattr(module, "step_mode", "m" if isinstance(module, sj_base.MultiStepModule) else "s") == "m"


@contextmanager
def kept_states(model: nn.Module) -> Iterator[None]:
    """Start with fresh neuron states, and give the model its own back at the end, whatever happened in between."""
    stateful = [m for m in model.modules() if isinstance(m, sj_base.MemoryModule)]
    saved = [{name: copy.copy(value) for name, value in m._memories.items()} for m in stateful]
    for m in stateful:
        m._memories.update({name: copy.deepcopy(value) for name, value in m._memories_rv.items()})
    try:
        yield
    finally:
        for m, memories in zip(stateful, saved, strict=True):
            m._memories.update(memories)


def _check_model(model: nn.Module) -> None:
    if not isinstance(model, nn.Module):
        raise InputError(f"a {type(model).__name__} is not a torch module", where="model", allowed="torch.nn.Module")
    training = [
        path or "the model" for path, module in model.named_modules() if module.training and not list(module.children())
    ]
    if training:
        raise InputError(
            f"{len(training)} modules are in training mode, the first is {training[0]}",
            where="model",
            fix="call model.eval() first",
        )
    for name, weight in itertools.chain(model.named_parameters(), model.named_buffers()):
        if weight.is_floating_point() and weight.dtype != torch.float32:
            raise InputError(
                f"{name} is {weight.dtype}", where="model", allowed="torch.float32", fix="call model.float() first"
            )
        if weight.is_floating_point() and not bool(torch.isfinite(weight).all()):
            raise InputError(
                f"{name} holds values that are not finite", where="model", fix="train again, or look for what diverged"
            )


def _check_inputs(inputs: Mapping[str, Tensor], many: bool) -> None:
    layout = (
        "[T, N, *shape], the model holds multi-step modules" if many else "[N, *shape], no module of the model is multi-step"
    )
    leads = set()
    for name, x in inputs.items():
        if not isinstance(x, Tensor):
            raise InputError(
                f"a {type(x).__name__} is not a tensor", where=f"sample {name}", allowed=f"float32 tensors {layout}"
            )
        if x.dtype != torch.float32:
            raise InputError(f"dtype {x.dtype}", where=f"sample {name}", allowed="torch.float32", fix="pass sample.float()")
        if x.ndim < 2 + many or 0 in x.shape:
            raise InputError(f"shape {list(x.shape)}", where=f"sample {name}", allowed=layout)
        leads.add(tuple(x.shape[: 1 + many]))
    if len(leads) > 1:
        raise InputError(f"inputs differ in steps or samples: {sorted(leads)}", where="sample", allowed=layout)


def input_names(model: nn.Module, sample: Sample) -> dict[str, Tensor]:
    """Input tensors by the names of forward's parameters; whole numbers and booleans as float32."""
    if isinstance(sample, Mapping):
        inputs = dict(sample)
    else:
        tensors = [sample] if isinstance(sample, Tensor) else list(sample)
        try:
            parameters = [p.name for p in inspect.signature(model.forward).parameters.values() if p.kind != p.VAR_KEYWORD]
        except (TypeError, ValueError):
            parameters = []
        numbered = [str(index) for index in range(len(tensors))]
        named = parameters[: len(tensors)] if len(parameters) >= len(tensors) else numbered
        inputs = dict(zip(named, tensors, strict=True))
    spikes = (torch.uint8, torch.int8, torch.int32, torch.int64, torch.bool)
    inputs = {name: x.float() if isinstance(x, Tensor) and x.dtype in spikes else x for name, x in inputs.items()}
    if not inputs:
        raise InputError("no input tensor", where="sample", fix="pass at least one tensor")
    return inputs


def _named_outputs(tracer: Tracer, result: object) -> dict[str, int]:
    """Output tensors by name: "output" alone, else "output.<key or position>"."""
    slices = [tracer.mark_of(x) for x in result] if isinstance(result, list) else []
    if slices and all(m is not None and m.lead is Lead.SLICE and m.number == slices[0].number for m in slices if slices[0]):
        named: dict[str, object] = {"output": result[0]}  # type: ignore[index]
    elif isinstance(result, Tensor):
        named = {"output": result}
    elif isinstance(result, Mapping):
        named = {f"output.{key}": value for key, value in result.items()}
    elif isinstance(result, tuple | list):
        named = {f"output.{index}": value for index, value in enumerate(result)}
    else:
        raise UnsupportedError(
            f"the model returns a {type(result).__name__}", where="model", allowed="tensors, or a tuple, list or dict of them"
        )
    outputs: dict[str, int] = {}
    over: set[bool] = set()
    for name, value in named.items():
        mark = tracer.mark_of(value)
        if mark is None:
            raise UnsupportedError(
                f"{name} is a {type(value).__name__} that cannot be followed back to the model's input",
                where="model",
                allowed="tensors made of the inputs by modules and functions of the support table",
            )
        if mark.lead is Lead.MERGED:
            raise UnsupportedError(
                f"{name} still has steps and samples in one axis", where="model", fix="unflatten it to [T, N, ...]"
            )
        over.add(mark.lead is Lead.OVER)
        outputs[name] = mark.number
    if len(over) > 1:
        raise UnsupportedError("some outputs are summed over time and some are not", where="model", fix="return the sequences")
    return outputs
