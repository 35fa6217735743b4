"""Random networks over everything that `to_nir` takes, and their spikes compared wherever they can run.

Hypothesis draws the structure, a seed the weights. Used by the test and by `benchmarks/export_random.py` (both load it by
path, as tests are no package).
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import Tensor, nn

Shape = tuple[int, ...]

CONNECT: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": operator.add,
    "sub": lambda x, y: 0.5 * (x - y),
    "and": operator.mul,
    "iand": lambda x, y: x * (1.0 - y),
}


@dataclass(frozen=True, eq=False)
class Drawn:
    """A network in evaluation mode and the shapes of its inputs; `analog` where those are no spikes."""

    net: nn.Module
    shapes: tuple[Shape, ...]
    multi_step: bool
    analog: bool


@dataclass
class Signal:
    """What a value looks like while a network is put together: its shape, and whether it is spikes."""

    shape: Shape
    binary: bool

    @property
    def channels(self) -> int:
        return self.shape[0]

    @property
    def rank(self) -> int:
        return len(self.shape) - 1


class Connected(nn.Module):
    """x connected with what `inner` makes of it, of the same shape and, for AND and IAND, both spikes."""

    def __init__(self, inner: nn.Module, connect: str) -> None:
        super().__init__()
        self.inner, self.connect = inner, connect

    def forward(self, x: Tensor) -> Tensor:
        return CONNECT[self.connect](x, self.inner(x))


class SideBySide(nn.Module):
    """Two branches, their channels one after the other."""

    def __init__(self, left: nn.Module, right: nn.Module, rank: int) -> None:
        super().__init__()
        self.left, self.right, self.rank = left, right, rank

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.left(x), self.right(x)], dim=x.ndim - 1 - self.rank)


class Affected(nn.Module):
    """A layer with a factor and a constant behind it, a number or a parameter per channel."""

    def __init__(self, inner: nn.Module, channels: int, rank: int, learnt: bool) -> None:
        super().__init__()
        self.inner = inner
        self.constant = nn.Parameter(torch.rand(channels, *[1] * rank) * 0.2) if learnt else 0.125

    def forward(self, x: Tensor) -> Tensor:
        return 1.5 * self.inner(x) + self.constant


class Twice(nn.Module):
    """One convolution or linear layer used twice, with neurons of its own each time."""

    def __init__(self, shared: nn.Module, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.shared, self.first, self.second = shared, first, second

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.shared(self.first(self.shared(x))))


class Functional(nn.Module):
    """Functions between modules: pooling, dropout, a mean over the image."""

    def __init__(self, kind: str, rank: int) -> None:
        super().__init__()
        self.kind, self.rank = kind, rank

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "dropout":
            return F.dropout(x, 0.5, self.training)
        if self.kind == "mean":
            return x.mean(dim=tuple(range(x.ndim - self.rank, x.ndim)), keepdim=True)
        lead = x.shape[: x.ndim - 1 - self.rank]
        pool = F.avg_pool2d if self.rank == 2 else F.avg_pool1d
        return pool(x.flatten(0, 1), 2).unflatten(0, lead) if len(lead) == 2 else pool(x, 2)


class Listed(nn.Module):
    """SpikingJelly's NonSpiking neurons give a list over time, here made a tensor again."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack(self.inner(x))


class Whole(nn.Module):
    """Stems whose outputs add up, a body, a head; hidden spikes given out too where `names` are given."""

    def __init__(self, stems: list[nn.Module], begin: nn.Module, body: nn.Module, head: nn.Module, outputs: str) -> None:
        super().__init__()
        self.stems, self.begin, self.body, self.head = nn.ModuleList(stems), begin, body, head
        self.outputs = outputs

    def forward(self, x: Tensor, y: Tensor | None = None) -> Any:
        total = self.stems[0](x) if y is None else self.stems[0](x) + self.stems[1](y)
        hidden = self.begin(total)
        end = self.head(self.body(hidden))
        return {"one": end, "two": (end, hidden), "named": {"answer": end, "early": hidden}}[self.outputs]


@st.composite
def spiking(draw: st.DrawFn, reset: str) -> nn.Module:
    """A spiking neuron; `reset` is "zero", "voltage" or "subtract"."""
    common: dict[str, Any] = {"v_threshold": draw(st.sampled_from([0.3, 0.5, 1.0]))}
    common["v_reset"] = {"zero": 0.0, "voltage": draw(st.sampled_from([-0.25, -0.1, 0.1])), "subtract": None}[reset]
    tau = draw(st.sampled_from([1.5, 1.7, 2.0, 2.3, 4.0]))
    kinds = ["if", "lif", "lif", "undivided", "parametric"]
    kinds += {"zero": ["cuba", "simple if", "simple lif"], "voltage": [], "subtract": ["cuba", "simple if"]}[reset]
    kind = draw(st.sampled_from(kinds))
    if kind == "cuba":
        return neuron.CUBALIFNode(draw(st.sampled_from([0.25, 0.3, 0.5])), draw(st.sampled_from([0.5, 0.75, 0.9])), **common)
    common["surrogate_function"] = draw(st.sampled_from([surrogate.ATan(), surrogate.Sigmoid()]))
    if kind == "if":
        return neuron.IFNode(**common)
    if kind == "simple if":
        return neuron.SimpleIFNode(**common)
    if kind == "simple lif":
        return neuron.SimpleLIFNode(tau, draw(st.booleans()), **common)
    if kind == "parametric":
        return neuron.ParametricLIFNode(init_tau=tau, decay_input=draw(st.booleans()), **common)
    return neuron.LIFNode(tau=tau, decay_input=kind == "lif", **common)


class Builder:
    """Draws blocks one after the other, following the signal's shape."""

    def __init__(self, draw: st.DrawFn, multi_step: bool) -> None:
        self.draw, self.multi_step = draw, multi_step
        self.reset = self.one_of("zero", "zero", "voltage", "subtract")

    def one_of(self, *options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def neuron(self) -> nn.Module:
        return self.draw(spiking(self.reset))

    def weights(self, signal: Signal, wide: int | None = None, *, same_shape: bool = False, plain: bool = False) -> nn.Module:
        """A convolution or linear layer; `plain` is torch's own class instead of SpikingJelly's. Changes `signal`."""
        rank, c_in = signal.rank, signal.channels
        wide = wide or self.one_of(2, 4)
        source: Any = nn if plain else layer
        if rank == 0:
            signal.shape, signal.binary = (wide,), False
            return source.Linear(c_in, wide, bias=self.one_of(True, False))
        make = source.Conv1d if rank == 1 else source.Conv2d
        groups = self.one_of(*(g for g in (1, 1, 2) if c_in % g == 0 and wide % g == 0))
        common = {"groups": groups, "bias": self.one_of(True, False)}
        signal.binary = False
        if same_shape:
            signal.shape = (wide, *signal.shape[1:])
            return make(c_in, wide, 3, padding=self.one_of(1, "same"), **common)
        kernel = tuple(self.one_of(1, 2, 3, 3, 5) for _ in range(rank))
        stride, padding, dilation = self.one_of(1, 1, 2), self.one_of(0, 1), self.one_of(1, 1, 2)
        out = tuple(
            (n + 2 * padding - dilation * (k - 1) - 1) // stride + 1 for n, k in zip(signal.shape[1:], kernel, strict=True)
        )
        if min(out) < 3:
            return self.weights(signal, wide, same_shape=True, plain=plain)
        signal.shape = (wide, *out)
        return make(c_in, wide, kernel, stride=stride, padding=padding, dilation=dilation, **common)

    def norm(self, signal: Signal, plain: bool = False) -> nn.Module:
        source: Any = nn if plain else layer
        return (source.BatchNorm2d if signal.rank == 2 else source.BatchNorm1d)(signal.channels)

    def layer(self, signal: Signal, wide: int | None = None, **settings: Any) -> nn.Module:
        """Weights, perhaps a BatchNorm, a factor and a constant, and a neuron, in one of the ways to write that down."""
        way = self.one_of("plain", "plain", "norm", "norm", "affected", "container", "container with neuron", "twice")
        if way == "container with neuron" and self.multi_step:
            parts = [self.weights(signal, wide, plain=True, **settings), self.neuron()]
            signal.binary = True
            stateful: Any = layer.MultiStepContainer if self.one_of(True, False) else _step_mode_container
            return stateful(*parts)
        if way == "twice":
            shared = self.weights(signal, signal.channels if wide is None else wide, **settings)
            if shared.weight.shape[0] == shared.weight.shape[1] * getattr(shared, "groups", 1) and _keeps_shape(shared):
                signal.binary = True
                return Twice(shared, self.neuron(), self.neuron())
            parts = [shared]
        elif way == "container" and self.multi_step and signal.rank:
            inner = [self.weights(signal, wide, plain=True, **settings)]
            parts = [layer.SeqToANNContainer(*inner, *([self.norm(signal, True)] if self.one_of(True, False) else []))]
        else:
            parts = [self.weights(signal, wide, **settings)]
            if way == "norm":
                parts.append(self.norm(signal))
            if way == "affected":
                parts = [Affected(parts[0], signal.channels, signal.rank, self.one_of(True, False))]
        signal.binary = True
        return nn.Sequential(*parts, self.neuron())

    def pool(self, signal: Signal) -> nn.Module:
        """Something that makes an image smaller; maxima of spikes only."""
        even = [d for d in (2, 3) if all(n % d == 0 for n in signal.shape[1:])]
        kind = self.one_of("average", *(["max"] if signal.binary else []), *(["adaptive"] if even else []), "functional")
        space = signal.shape[1:]
        if kind == "adaptive":
            by = self.one_of(*even)
            signal.shape, signal.binary = (signal.channels, *(n // by for n in space)), False
            return (layer.AdaptiveAvgPool2d if signal.rank == 2 else layer.AdaptiveAvgPool1d)(signal.shape[1:])
        size, stride, padding = (
            (2, 2, 0) if kind == "functional" else (self.one_of(2, 2, 3), self.one_of(1, 2), self.one_of(0, 1))
        )
        signal.shape = (signal.channels, *((n + 2 * padding - size) // stride + 1 for n in space))
        signal.binary = kind == "max"
        if kind == "functional":
            return Functional("pool", signal.rank)
        names = {"average": ("AvgPool1d", "AvgPool2d"), "max": ("MaxPool1d", "MaxPool2d")}[kind]
        return getattr(layer, names[signal.rank - 1])(size, stride=stride, padding=padding)

    def block(self, signal: Signal) -> nn.Module:
        """One of the blocks that networks are made of."""
        kinds = ["layer", "layer", "connected", "side by side", "dropout", "norm alone", "elementwise", "identity"]
        kind = self.one_of(*kinds, *(["pool", "pool", "pool"] if signal.rank else ["recurrent", "recurrent"]))
        if kind == "pool" and min(signal.shape[1:]) >= 3:
            return self.pool(signal)
        if kind == "connected":
            connect = self.one_of(*(CONNECT if signal.binary else ("add", "sub")))
            before = signal.binary
            inner = self.layer(signal, signal.channels, same_shape=True)
            signal.binary = before and connect in ("and", "iand")
            return Connected(inner, connect)
        if kind == "side by side":
            left, right = Signal(signal.shape, signal.binary), Signal(signal.shape, signal.binary)
            module = SideBySide(self.layer(left, 2, same_shape=True), self.layer(right, 3, same_shape=True), signal.rank)
            signal.shape, signal.binary = (5, *signal.shape[1:]), True
            return module
        if kind == "recurrent":
            return self.recurrent(signal)
        if kind == "elementwise":
            signal.binary = True
            return layer.ElementWiseRecurrentContainer(self.neuron(), CONNECT["add"])
        if kind == "norm alone":
            module = nn.Sequential(self.norm(signal), self.neuron())
            signal.binary = True
            return module
        if kind == "dropout":
            options = [layer.Dropout(0.5), nn.Dropout(0.5), Functional("dropout", signal.rank)]
            if signal.rank == 2:
                options.append(layer.Dropout2d(0.5))
            if signal.rank == 1 and not self.multi_step:
                options.append(nn.Dropout1d(0.5))
            return self.one_of(*options)
        return nn.Identity() if kind == "identity" else self.layer(signal)

    def recurrent(self, signal: Signal) -> nn.Module:
        """A dense layer that hears its own last spikes, its sub-module a neuron, or a layer and a neuron."""
        width, bias = signal.channels, self.one_of(True, False)
        signal.binary = True
        if self.one_of(True, False):
            return layer.LinearRecurrentContainer(self.neuron(), width, width, bias)
        inner = nn.Sequential(nn.Linear(width, width), self.neuron())
        return layer.LinearRecurrentContainer(inner, width, width, bias)

    def head(self, signal: Signal) -> nn.Module:
        """The last layers: spikes, votes, sums, or voltages of neurons that never fire."""
        last = layer.Linear(signal.channels, 6, bias=self.one_of(True, False))
        end = self.one_of("spikes", "spikes", "votes", "sums", "integrator", "leaky")
        if end in ("spikes", "votes"):
            return nn.Sequential(last, self.neuron(), *([layer.VotingLayer(2)] if end == "votes" else []))
        if end == "sums" or not self.multi_step:
            return last
        decode = self.one_of("last_mem", "max-mem", "mean-mem", "max-abs-mem", None)
        settings = {} if decode is None else {"decode": decode}
        leaky = neuron.NonSpikingLIFNode(tau=2.0, **settings) if end == "leaky" else neuron.NonSpikingIFNode(**settings)
        return nn.Sequential(last, leaky if decode else Listed(leaky))


def _step_mode_container(*parts: nn.Module) -> nn.Module:
    return layer.StepModeContainer(True, "s", *parts)


def _keeps_shape(module: nn.Module) -> bool:
    if isinstance(module, nn.Linear):
        return True
    return module.padding == "same" or (
        set(module.stride) == {1}
        and all(2 * p == d * (k - 1) for p, d, k in zip(module.padding, module.dilation, module.kernel_size, strict=True))
    )


@st.composite
def nets(draw: st.DrawFn) -> Drawn:
    """A network of up to five blocks in front of its head, over vectors, sequences or images, single- or multi-step."""
    multi_step = draw(st.sampled_from([True, True, False]))
    build = Builder(draw, multi_step)
    rank = draw(st.sampled_from([0, 1, 2, 2]))
    count = draw(st.sampled_from([1, 1, 2]))
    shape: Shape = (
        (draw(st.integers(4, 12)),)
        if rank == 0
        else (draw(st.sampled_from([1, 2])), *[draw(st.integers(6, 12)) for _ in range(rank)])
    )
    analog = draw(st.sampled_from([False] * 7 + [True]))
    stems = []
    for _ in range(count):
        signal = Signal(shape, not analog)
        stems.append(build.weights(signal, 4, same_shape=True))
    begin = build.neuron()
    signal.binary = True
    blocks = [build.block(signal) for _ in range(draw(st.integers(1, 5)))]
    if signal.rank and draw(st.sampled_from([True, False, False])):
        blocks.append(Functional("mean", signal.rank))
        signal.shape, signal.binary = (signal.channels, *[1] * signal.rank), False
    if signal.rank:
        size = 1
        for n in signal.shape:
            size *= n
        blocks.append(layer.Flatten())
        signal.shape = (size,)
        blocks.append(build.layer(signal, 8))
    blocks += [build.block(signal) for _ in range(draw(st.integers(0, 2)))]
    head = build.head(signal)
    over_time = isinstance(head, nn.Sequential) and isinstance(head[-1], neuron.NonSpikingIFNode | neuron.NonSpikingLIFNode)
    outputs = "one" if over_time else draw(st.sampled_from(["one", "one", "two", "named"]))
    net = Whole(stems, begin, nn.Sequential(*blocks), head, outputs)
    set_modes(net, "m" if multi_step else "s")
    return Drawn(net.eval(), (shape,) * count, multi_step, analog)


def set_modes(net: nn.Module, mode: str) -> None:
    """Step modes; what containers hold works step by step whatever they do."""
    functional.set_step_mode(net, mode)
    for module in net.modules():
        if isinstance(module, layer.MultiStepContainer | layer.StepModeContainer):
            for inner in module:
                functional.set_step_mode(inner, "s")
        if isinstance(module, layer.LinearRecurrentContainer | layer.ElementWiseRecurrentContainer):
            functional.set_step_mode(module.sub_module, "s")


def fill(net: nn.Module, seed: int) -> None:
    """Lively weights, three in ten of them 0, and BatchNorms that look trained."""
    torch.manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, 0.05, 1.5 / module.weight[0].numel() ** 0.5)
            with torch.no_grad():
                module.weight[torch.rand_like(module.weight) < 0.3] = 0.0
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.weight, -1.5, 1.5)
            nn.init.uniform_(module.bias, 0.0, 0.5)
            nn.init.uniform_(module.running_mean, -0.3, 0.3)
            nn.init.uniform_(module.running_var, 0.05, 0.5)
