"""What each NIR node computes in a step, in torch, float32: the arithmetic that `from_nir` runs and ONNX repeats.

Rules, constants and the order of operations are the float reference's, which are SpikingJelly's, so that the last bit agrees
with what was trained. Parameters that are the same for all neurons become scalars.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from filopodia.hardware.network.build import NEURONS
from filopodia.hardware.network.network import Semantics
from filopodia.hardware.network.neurons import FRACTION, LEAK_PARTS, VOLTAGE_LIMIT, prepare

State = tuple[Tensor, ...]


class Cell(nn.Module):
    """One node. `states` names what it remembers; `advance` makes one step from inputs [N, *shape] and states alike."""

    states: tuple[str, ...] = ()

    def begin(self, like: Tensor) -> State:
        """States before the first step, for inputs shaped like `like`."""
        return ()

    def advance(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One step: output and new states."""
        return self(x), state


class Linear(Cell):
    """y = W x + b over the last axis."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, weight: NDArray[Any], bias: NDArray[Any] | None) -> None:
        super().__init__()
        self.register_buffer("weight", tensor(weight))
        self.register_buffer("bias", None if bias is None else tensor(bias))

    def forward(self, x: Tensor) -> Tensor:
        """x [..., in] to [..., out]."""
        return F.linear(x, self.weight, self.bias)


class Convolution(Cell):
    """torch's convolution; a bias of zeros is left out, which changes no value."""

    def __init__(self, node: Any) -> None:
        super().__init__()
        weight, bias = np.asarray(node.weight), np.asarray(node.bias)
        self.rank = weight.ndim - 2
        self.register_buffer("weight", tensor(weight))
        self.register_buffer("bias", tensor(bias) if bias.any() else None)
        self.stride, self.dilation = numbers(node.stride, self.rank), numbers(node.dilation, self.rank)
        self.padding = node.padding if isinstance(node.padding, str) else numbers(node.padding, self.rank)
        self.groups = int(node.groups)

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, *space]."""
        convolve: Callable[..., Tensor] = F.conv2d if self.rank == 2 else F.conv1d
        return convolve(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class Pooling(Cell):
    """Sums of windows, divided by the window's size for an average; padding counts as zeros."""

    def __init__(self, node: Any, average: bool) -> None:
        super().__init__()
        self.kernel, self.stride, self.padding = (numbers(v, 2) for v in (node.kernel_size, node.stride, node.padding))
        self.average = average

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, H, W]."""
        return F.avg_pool2d(x, self.kernel, self.stride, self.padding, divisor_override=None if self.average else 1)


class Flatten(Cell):
    """Merges axes, which are counted without the sample axis."""

    def __init__(self, start: int, end: int) -> None:
        super().__init__()
        self.start, self.end = (start + 1 if start >= 0 else start), (end + 1 if end >= 0 else end)

    def forward(self, x: Tensor) -> Tensor:
        """x [N, *shape]."""
        return x.flatten(self.start, self.end)


class Scale(Cell):
    """y = x * s."""

    scale: Tensor

    def __init__(self, scale: NDArray[Any]) -> None:
        super().__init__()
        self.register_buffer("scale", uniform(scale))

    def forward(self, x: Tensor) -> Tensor:
        """x [N, *shape]."""
        return x * self.scale


class Threshold(Cell):
    """1 where x > threshold."""

    threshold: Tensor

    def __init__(self, threshold: NDArray[Any]) -> None:
        super().__init__()
        self.register_buffer("threshold", uniform(threshold))

    def forward(self, x: Tensor) -> Tensor:
        """x [N, *shape]."""
        return (x > self.threshold).to(x)


class Same(Cell):
    """Input and Output nodes."""

    def forward(self, x: Tensor) -> Tensor:
        """x as it is."""
        return x


class Neuron(Cell):
    """IF, LIF, CubaLIF and their kin without firing (I, LI, CubaLI). A `scale` other than 0: in fixed point."""

    start: Tensor | None

    def __init__(self, node: Any, semantics: Semantics, scale: float) -> None:
        super().__init__()
        self.rule, found = constants(node, semantics, scale)
        self.fires, self.states, self.scale = "threshold" in found, states_of(node), scale
        self.subtract, self.inclusive = semantics.reset == "subtract", semantics.comparison == ">=" and not scale
        for key in CONSTANTS:
            self.register_buffer(key, uniform(found[key]) if key in found else None)

    def begin(self, like: Tensor) -> State:
        """Currents at 0, voltages at the leak where there is one, else at the reset voltage."""
        v = torch.zeros_like(like) if self.start is None else torch.zeros_like(like) + self.start
        return (torch.zeros_like(like), v) if "i" in self.states else (v,)

    def charge(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Voltage after the input, before firing; and the new current, where there is one."""
        c: Any = self
        current: State = ()
        v = state[-1]
        if "i" in self.states:
            x = state[0] * c.syn_keep + (x if c.syn_gain is None else x * c.syn_gain)
            current = (x,)
        x = x if c.gain is None else x * c.gain
        away = v if c.leak is None else v - c.leak
        if self.rule == "integrate":
            v = v + x
        elif self.rule == "divide":
            v = v + (x - away) / c.steps
        elif self.rule == "add":
            v = v - away / c.steps + x
        elif self.rule == "fixed":
            v = self.charge_in_fixed_point(x, v)
        else:
            v = away * c.keep + x if c.leak is None else c.leak + away * c.keep + x
        return v, current

    def charge_in_fixed_point(self, x: Tensor, v: Tensor) -> Tensor:
        """v after input x, both float32 and exact in it; the product in between needs 36 bits."""
        c: Any = self
        unit = FRACTION * self.scale
        kept = torch.trunc(v.double() * unit * c.keep / LEAK_PARTS)
        arrived = torch.round(x.double() * self.scale) * FRACTION
        return ((kept + arrived).clamp(-VOLTAGE_LIMIT, VOLTAGE_LIMIT) / unit).to(v.dtype)

    def advance(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One step of the neuron."""
        c: Any = self
        v, current = self.charge(x, state)
        if not self.fires:
            return v, (*current, v)
        spikes = v >= c.threshold if self.inclusive else v > c.threshold
        out = spikes.to(x)
        v = v - out * c.threshold if self.subtract else torch.where(spikes, c.v_reset, v)
        return out, (*current, v)


CONSTANTS = ("start", "gain", "leak", "steps", "keep", "syn_keep", "syn_gain", "threshold", "v_reset")
UNUSED = {
    "integrate": ("leak", "steps", "keep"),
    "divide": ("keep",),
    "add": ("keep", "gain"),
    "keep": ("steps",),
    "fixed": ("leak", "steps"),
}
NEUTRAL = {"start": 0.0, "gain": 1.0, "leak": 0.0, "syn_gain": 1.0}


def constants(node: Any, semantics: Semantics, scale: float) -> tuple[str, dict[str, NDArray[Any]]]:
    """The rule of a neuron's step and its float32 numbers, as the float reference has them (`hardware.network.neurons`).

    Numbers that the rule has no use for are left out, and those that would change nothing.
    """
    ready = prepare(node, semantics, np.dtype(np.float32), scale)
    unused = UNUSED[ready.rule]
    found = {}
    for key in CONSTANTS:
        value = getattr(ready, key)
        neutral = key in NEUTRAL and value is not None and bool((value == NEUTRAL[key]).all())
        if value is not None and key not in unused and not neutral:
            found[key] = value
    return ready.rule, found


def states_of(node: Any) -> tuple[str, ...]:
    """What a node remembers: "i" a current, "v" a voltage; nothing for stateless ones."""
    kind = type(node).__name__
    return () if kind not in NEURONS else ("i", "v") if kind.startswith("Cuba") else ("v",)


def tensor(values: NDArray[Any]) -> Tensor:
    """A float32 tensor, sharing memory where it can."""
    whole = np.ascontiguousarray(values, dtype=np.float32)
    return torch.from_numpy(whole if whole.flags.writeable else whole.copy())


def uniform(values: NDArray[Any]) -> Tensor:
    """A float32 tensor, a scalar where all values are equal."""
    values = np.asarray(values, dtype=np.float32)
    same = values.size > 0 and bool((values == values.flat[0]).all())
    return tensor(values.reshape(-1)[:1].reshape(())) if same else tensor(values)


def numbers(value: Any, rank: int) -> tuple[int, ...]:
    """Sizes of a window as one int per axis."""
    flat = [int(v) for v in np.asarray(value).reshape(-1)]
    return tuple(flat * rank if len(flat) == 1 else flat)


CELLS: dict[str, Callable[[Any], Cell]] = {
    "Input": lambda node: Same(),
    "Output": lambda node: Same(),
    "Affine": lambda node: Linear(node.weight, node.bias),
    "Linear": lambda node: Linear(node.weight, None),
    "Conv1d": Convolution,
    "Conv2d": Convolution,
    "SumPool2d": lambda node: Pooling(node, average=False),
    "AvgPool2d": lambda node: Pooling(node, average=True),
    "Flatten": lambda node: Flatten(int(node.start_dim), int(node.end_dim)),
    "Scale": lambda node: Scale(node.scale),
    "Threshold": lambda node: Threshold(node.threshold),
}


def cell(node: Any, semantics: Semantics, scale: float) -> Cell:
    """The cell of a node of a loaded network; `scale` is that of a neuron in fixed point, 0 for others."""
    kind = type(node).__name__
    return Neuron(node, semantics, scale) if kind in NEURONS else CELLS[kind](node)
