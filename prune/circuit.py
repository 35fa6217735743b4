"""Which weighted layers feed which neurons, found by running the network once and following its tensors.

Every tensor that depends on the input is either spikes (multiples of a fraction, after pooling, up to a largest value) or the
currents that weighted layers add up to. What is followed: modules of the tables below, and functions that only move values,
join them or add them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import torch
from spikingjelly.activation_based import functional, neuron
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from filopodia.errors import UnsupportedError
from filopodia.prune.attach import WEIGHTED

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
RANKS = {nn.AvgPool1d: 1, nn.AvgPool2d: 2, nn.AvgPool3d: 3}
ADAPTIVE = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
AVERAGES = (*RANKS, *ADAPTIVE)
UNCHANGED = (
    nn.Identity,
    nn.Flatten,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.MaxPool3d,
)
VOLTAGES = (neuron.NonSpikingIFNode, neuron.NonSpikingLIFNode)
WHOLE = Fraction(1)
MOVES = frozenset(
    [
        "reshape",
        "view",
        "flatten",
        "unflatten",
        "squeeze",
        "unsqueeze",
        "permute",
        "transpose",
        "contiguous",
        "clone",
        "__getitem__",
        "unbind",
        "chunk",
        "split",
        "stack",
        "cat",
        "concat",
        "max_pool1d",
        "max_pool2d",
    ]
)
ADDS = frozenset({"add", "__add__", "__radd__"})


@dataclass(frozen=True)
class Spikes:
    """Values that are whole multiples of `quantum`, of a size of at most `most`."""

    quantum: Fraction = Fraction(1)
    most: Fraction = Fraction(1)


@dataclass(frozen=True, eq=False)
class Currents:
    """The sum of the outputs of these weighted layers."""

    layers: tuple[nn.Module, ...]


@dataclass(eq=False)
class Circuit:
    """`feeds`: of each neuron module, the weighted layers whose outputs it sums; `hears`: what each weighted layer reads;
    `norms`: of a weighted layer, the BatchNorm behind it; `readouts`: layers that feed no neurons. `names` are paths."""

    feeds: dict[nn.Module, tuple[nn.Module, ...]] = field(default_factory=dict)
    hears: dict[nn.Module, Spikes] = field(default_factory=dict)
    norms: dict[nn.Module, nn.Module] = field(default_factory=dict)
    readouts: tuple[nn.Module, ...] = ()
    names: dict[nn.Module, str] = field(default_factory=dict)


@torch.no_grad()
def follow(model: nn.Module, sample: Tensor, input_step: Fraction = WHOLE) -> Circuit:
    """The circuit of a model in the state it is in; it runs once on `sample`, spikes as the model takes them.

    With another `input_step` than 1, the input is values: whole multiples of it, in as many bits as the sample's largest.
    Raises UnsupportedError, naming the module, where a weighted layer reads something that is not spikes, where neurons get
    something that no weighted layers add up to, or where a layer feeds two populations of neurons.
    """
    steps = sample / float(input_step)
    binary = bool(((sample == 0) | (sample == 1)).all())
    if not binary and (input_step == 1 or bool(((steps - steps.round()).abs() > 1e-3).any())):
        raise UnsupportedError(
            "input values other than 0 and 1" if input_step == 1 else f"input values between multiples of {input_step}",
            where="sample",
            allowed="spikes, or whole multiples of input_step",
            fix="encode the input by rate or latency, or give input_step (1/255 for images of 8 bits)",
        )
    most = 1 if binary and input_step == 1 else (1 << int(steps.abs().max().round()).bit_length()) - 1
    walk = _Walk()
    walk.circuit.names.update({module: name or "the model" for name, module in model.named_modules()})
    with _evaluating(model), ExitStack() as scope:
        walk.mark(sample, Spikes(input_step, most * input_step))
        for module in model.modules():
            scope.callback(module.register_forward_pre_hook(walk.before).remove)
            scope.callback(module.register_forward_hook(walk.after).remove)
        with _Functions(walk):
            model(sample)
    _check_complete(model, walk.circuit)
    fed = {layer for layers in walk.circuit.feeds.values() for layer in layers}
    walk.circuit.readouts = tuple(layer for layer in walk.circuit.hears if layer not in fed)
    return walk.circuit


class _Walk:
    def __init__(self) -> None:
        self.circuit = Circuit()
        self.known: dict[int, tuple[Tensor, Spikes | Currents]] = {}  # holds the tensors, so that no id is used twice
        self.inside = 0

    def mark(self, tensor: Tensor, what: Spikes | Currents) -> None:
        self.known[id(tensor)] = (tensor, what)

    def of(self, tensor: Any) -> Spikes | Currents | None:
        return self.known[id(tensor)][1] if isinstance(tensor, Tensor) and id(tensor) in self.known else None

    def before(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self.inside += isinstance(module, LEAVES)

    def after(self, module: nn.Module, args: tuple[Any, ...], result: Any) -> None:
        if not isinstance(module, LEAVES):
            return
        self.inside -= 1
        if isinstance(module, VOLTAGES):
            raise UnsupportedError(
                f"a {type(module).__name__} has no fixed-point form here",
                where=self.circuit.names[module],
                fix="end in spiking neurons, or in a weighted layer",
            )
        if self.inside or not isinstance(result, Tensor):
            return
        said = self._said(module, self.of(args[0]), args[0], result)
        if said is not None:
            self.mark(result, said)

    def _said(self, module: nn.Module, came: Spikes | Currents | None, x: Tensor, y: Tensor) -> Spikes | Currents | None:
        where = self.circuit.names[module]
        if isinstance(module, WEIGHTED):
            if not isinstance(came, Spikes):
                raise UnsupportedError(
                    "reads something that is not spikes, their averages or sums",
                    where=where,
                    allowed="spiking layers before it",
                )
            if self.circuit.hears.setdefault(module, came) != came:
                raise UnsupportedError("is used twice, on different inputs", where=where, fix="two layers")
            return Currents((module,))
        if isinstance(module, NORMS):
            if not isinstance(came, Currents) or len(came.layers) != 1:
                raise UnsupportedError("a BatchNorm that is not behind a weighted layer", where=where, fix="move it there")
            if self.circuit.norms.setdefault(came.layers[0], module) is not module:
                raise UnsupportedError("a layer with two BatchNorms behind it", where=where, fix="two layers")
            return came
        if isinstance(module, neuron.BaseNode):
            if not isinstance(came, Currents):
                raise UnsupportedError("neurons that no weighted layer feeds", where=where, fix="put a layer before them")
            if self.circuit.feeds.setdefault(module, came.layers) != came.layers:
                raise UnsupportedError("neurons that are used twice", where=where, fix="one neuron module per layer")
            return Spikes()
        if isinstance(module, AVERAGES) and isinstance(came, Spikes):
            return Spikes(came.quantum / _area(module, x, y), came.most)
        return came if isinstance(module, UNCHANGED) else None

    def function(self, name: str, tensors: Sequence[Tensor], result: Any) -> None:
        found = [self.of(tensor) for tensor in tensors]
        marked = [one for one in found if one is not None]
        # A tensor from elsewhere, the silence before a recurrent layer's first step, must be zero to change nothing.
        if not marked or any(one is None and bool(t.any()) for one, t in zip(found, tensors, strict=True)):
            return
        said = _joined(marked, adding=name in ADDS)
        for tensor in [result] if isinstance(result, Tensor) else result:
            if said is not None:
                self.mark(tensor, said)


LEAVES = (*WEIGHTED, *NORMS, *AVERAGES, *UNCHANGED, *VOLTAGES, neuron.BaseNode)


def _joined(parts: Sequence[Spikes | Currents], adding: bool) -> Spikes | Currents | None:
    spikes = [part for part in parts if isinstance(part, Spikes)]
    currents = [part for part in parts if isinstance(part, Currents)]
    if spikes and currents:
        return None
    if currents:
        return Currents(tuple(dict.fromkeys(layer for part in currents for layer in part.layers)))
    quanta, mosts = [part.quantum for part in spikes], [part.most for part in spikes]
    below = math.lcm(*(quantum.denominator for quantum in quanta))
    quantum = Fraction(math.gcd(*(int(quantum * below) for quantum in quanta)), below)
    return Spikes(quantum, sum(mosts, Fraction(0)) if adding else max(mosts))


class _Functions(TorchFunctionMode):
    """Sees every function between the modules."""

    def __init__(self, walk: _Walk) -> None:
        super().__init__()
        self.walk = walk

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if not self.walk.inside and (name in MOVES or name in ADDS):
            with torch._C.DisableTorchFunction():
                self.walk.function(name, list(_tensors(args)), result)
        return result


def _tensors(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _area(module: nn.Module, x: Tensor, y: Tensor) -> int:
    """Values that a window averages, from `x` to `y`."""
    if isinstance(module, ADAPTIVE):
        return x.numel() // y.numel()
    rank = next(n for kind, n in RANKS.items() if isinstance(module, kind))
    size: int | tuple[int, ...] = module.kernel_size  # type: ignore[assignment]
    return math.prod(size) if isinstance(size, tuple) else size**rank


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """In evaluation mode with fresh neurons, and back."""
    training = {module: module.training for module in model.modules()}
    functional.reset_net(model)
    model.eval()
    try:
        yield
    finally:
        functional.reset_net(model)
        for module, mode in training.items():
            module.training = mode


def _check_complete(model: nn.Module, circuit: Circuit) -> None:
    fed = [layer for layers in circuit.feeds.values() for layer in layers]
    for layer in circuit.hears:
        if fed.count(layer) > 1:
            raise UnsupportedError(
                f"feeds {fed.count(layer)} populations of neurons",
                where=circuit.names[layer],
                allowed="one, or none at the end",
            )
    for module in model.modules():
        if isinstance(module, NORMS) and module not in circuit.norms.values():
            raise UnsupportedError("a BatchNorm that the sample does not reach", where=circuit.names[module])
