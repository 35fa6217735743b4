"""What each NIR node computes in a step, in torch, float32: the arithmetic that `from_nir` runs and ONNX repeats.

Every formula is written in the order of operations of SpikingJelly's neurons, so that the last bit agrees with what was
trained. Parameters that are the same for all neurons become scalars.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from filopodia.errors import UnsupportedError
from filopodia.prune.fixed_point import DECAY, FixedPointNode

from .kernels import compact
from .semantics import Semantics, text

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

    def __init__(self, weight: NDArray[Any], bias: NDArray[Any] | None) -> None:
        super().__init__()
        self.register_buffer("weight", tensor(weight))
        self.register_buffer("bias", None if bias is None else tensor(bias))

    def forward(self, x: Tensor) -> Tensor:
        """x [..., in] to [..., out]."""
        return F.linear(x, self.weight, self.bias)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Window:
    """A convolution's weight and sizes, as small as its metadata allows (see `kernels`)."""

    weight: NDArray[Any]
    stride: tuple[int, ...]
    padding: tuple[int, ...] | str
    dilation: tuple[int, ...]
    groups: int

    @classmethod
    def of(cls, node: Any) -> Window:
        """The window of a NIR Conv1d or Conv2d."""
        weight = np.asarray(node.weight)
        rank = weight.ndim - 2
        stride, dilation, groups = numbers(node.stride, rank), numbers(node.dilation, rank), int(node.groups)
        if isinstance(node.padding, str | bytes):
            return cls(weight, stride, text(node.padding), dilation, groups)
        padding = numbers(node.padding, rank)
        weight, padding, groups = compact(weight, padding, dilation, groups, node.metadata or {})
        return cls(weight, stride, padding, dilation, groups)


class Convolution(Cell):
    """torch's convolution; a bias of zeros is left out, which changes no value."""

    def __init__(self, node: Any) -> None:
        super().__init__()
        window = Window.of(node)
        weight, bias = window.weight, np.asarray(node.bias)
        self.rank = weight.ndim - 2
        self.register_buffer("weight", tensor(weight))
        self.register_buffer("bias", tensor(bias) if bias.any() else None)
        self.stride, self.dilation, self.padding, self.groups = window.stride, window.dilation, window.padding, window.groups

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

    def __init__(self, scale: NDArray[Any]) -> None:
        super().__init__()
        self.register_buffer("scale", uniform(scale))

    def forward(self, x: Tensor) -> Tensor:
        """x [N, *shape]."""
        return x * self.scale  # type: ignore[operator]


class Threshold(Cell):
    """1 where x > threshold."""

    def __init__(self, threshold: NDArray[Any]) -> None:
        super().__init__()
        self.register_buffer("threshold", uniform(threshold))

    def forward(self, x: Tensor) -> Tensor:
        """x [N, *shape]."""
        return (x > self.threshold).to(x)  # type: ignore[operator]


class Same(Cell):
    """Input and Output nodes."""

    def forward(self, x: Tensor) -> Tensor:
        """x as it is."""
        return x


class Neuron(Cell):
    """IF, LIF, CubaLIF and their kin without firing (I, LI, CubaLI)."""

    def __init__(self, node: Any, semantics: Semantics) -> None:
        super().__init__()
        kind = type(node).__name__
        self.kind, self.fires = kind, hasattr(node, "v_threshold")
        self.states = ("i", "v") if kind.startswith("Cuba") else ("v",)
        self.subtract, self.inclusive = semantics.reset == "subtract", semantics.comparison == ">="
        numbers = constants(node, semantics)
        self.undivided = numbers["tau"] is not None and undivided(node, semantics)
        for key, value in numbers.items():
            self.register_buffer(key, None if value is None else uniform(value))

    def begin(self, like: Tensor) -> State:
        """Currents at 0, voltages at the leak where there is one, else at the reset voltage."""
        v = torch.zeros_like(like) if self.start is None else torch.zeros_like(like) + self.start  # type: ignore[operator]
        return (torch.zeros_like(like), v) if "i" in self.states else (v,)

    def charge(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Voltage after the input, before firing; and the new current, where there is one."""
        c: Any = self
        current: State = ()
        v = state[-1]
        if "i" in self.states:
            x = state[0] * c.i_keep + (x if c.i_gain is None else x * c.i_gain)
            current = (x,)
        x = x if c.gain is None else x * c.gain
        if c.tau is not None and c.undivided:
            v = v - (v if c.leak is None else v - c.leak) / c.tau + x
        elif c.tau is not None:
            v = v + (x - (v if c.leak is None else v - c.leak)) / c.tau
        elif c.v_keep is not None:
            v = v * c.v_keep + x if c.leak is None else c.leak + (v - c.leak) * c.v_keep + x
        else:
            v = v + x
        return v, current

    def advance(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One step of the neuron."""
        c: Any = self
        v, current = self.charge(x, state)
        if not self.fires:
            return v, (*current, v)
        spikes = v >= c.threshold if self.inclusive else v > c.threshold
        out = spikes.to(x)
        v = v - out * c.amount if self.subtract else torch.where(spikes, c.v_reset, v)
        return out, (*current, v)


class FixedPointNeuron(Neuron):
    """IF and LIF in fixed point, as `prune.fixed_point` computes them."""

    def __init__(self, name: str, node: Any, semantics: Semantics) -> None:
        super().__init__(node, semantics)
        numbers = fixed_point(name, node, semantics)
        self.node = FixedPointNode(
            scale=numbers.scale, threshold=numbers.threshold, decay=numbers.decay, decay_input=numbers.gain != 1.0
        )

    def charge(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Voltage after the input, before firing."""
        return self.node.charge(x, state[-1]), ()


@dataclass(frozen=True)
class FixedPointNumbers:
    """A neuron in fixed point: `scale` units per 1, threshold in units, leak in 4096ths, what 1 of the input adds to v."""

    scale: float
    threshold: int
    decay: int
    gain: float


def fixed_point(name: str, node: Any, semantics: Semantics) -> FixedPointNumbers:
    """The whole numbers behind a node that `semantics.fixed_point` names. Raises UnsupportedError where they are none."""
    kind, scale = type(node).__name__, semantics.fixed_point[name]
    if kind not in ("IF", "LIF"):
        raise UnsupportedError(f"a {kind} node in fixed point", where=name, allowed="IF, LIF")
    rate = semantics.dt / double(node.tau) if kind == "LIF" else np.zeros(1)
    threshold = double(node.v_threshold) * scale
    for what, values in (("time constant", rate), ("threshold", threshold)):
        if np.ptp(values) != 0:
            raise UnsupportedError(f"neurons that differ in their {what}, in fixed point", where=name, allowed="one for all")
    decay = round(float(rate.flat[0]) * DECAY)
    gain = 1.0 if kind == "IF" or undivided(node, semantics) else decay / DECAY
    return FixedPointNumbers(scale, round(float(threshold.flat[0])), decay, gain)


def constants(node: Any, semantics: Semantics) -> dict[str, NDArray[Any] | None]:
    """The float32 numbers of a neuron's step, computed in float64 and rounded once; None where an operation falls away.

    IF, I              v + gain x
    LIF, LI, Euler     v + (gain x - (v - leak)) / tau, or v - (v - leak) / tau + x where r = tau / dt
    exponential        leak + (v - leak) v_keep + gain x
    CubaLIF, CubaLI    i = i i_keep + i_gain x, v = leak + (v - leak) v_keep + gain i
    """
    dt, kind = semantics.dt, type(node).__name__
    euler = semantics.discretization == "euler"
    names = ("gain", "tau", "leak", "v_keep", "i_keep", "i_gain", "threshold", "amount", "v_reset", "start")
    found: dict[str, Any] = dict.fromkeys(names)
    found["gain"] = double(node.r)
    if hasattr(node, "v_leak"):
        found["leak"] = found["start"] = double(node.v_leak)
    if kind in ("IF", "I"):
        found["gain"] = double(node.r) * dt
        found["start"] = double(node.v_reset) if kind == "IF" else None
    elif kind in ("LIF", "LI") and euler:
        found["tau"] = double(node.tau) / dt
        if undivided(node, semantics):
            found["gain"] = None
    else:
        share = _share(node.tau_mem if kind.startswith("Cuba") else node.tau, dt, euler)
        found |= {"v_keep": 1.0 - share, "gain": share * double(node.r)}
        if kind.startswith("Cuba"):
            syn = _share(node.tau_syn, dt, euler)
            found |= {"i_keep": 1.0 - syn, "i_gain": syn * double(node.w_in)}
    if hasattr(node, "v_threshold"):
        threshold = np.asarray(double(node.v_threshold), dtype=np.float32)
        strict_of_inclusive = semantics.trained_comparison == ">=" and semantics.comparison == ">"
        # a threshold lowered by one float32 for the strict comparison is subtracted as it was trained
        amount = np.nextafter(threshold, np.float32(np.inf)) if strict_of_inclusive else threshold
        found |= {"threshold": threshold, "v_reset": double(node.v_reset), "amount": amount}
    single = {key: None if value is None else np.asarray(value, dtype=np.float32) for key, value in found.items()}
    for key, neutral in (("gain", 1.0), ("i_gain", 1.0), ("leak", 0.0), ("start", 0.0)):
        value = single[key]
        if value is not None and bool((np.abs(value - np.float32(neutral)) < 1e-7).all()):
            single[key] = None
    return single


def undivided(node: Any, semantics: Semantics) -> bool:
    """Whether a LIF has r = tau / dt: SpikingJelly's decay_input=False, whose input is not divided by tau."""
    ratio = double(node.tau) / semantics.dt
    return bool((np.abs(double(node.r) / ratio - 1) < 1e-6).all()) and not bool((ratio == 1).all())


def _share(tau: Any, dt: float, euler: bool) -> NDArray[np.float64]:
    share = dt / double(tau) if euler else -np.expm1(-dt / double(tau))
    return np.asarray(share)


def double(values: Any) -> NDArray[np.float64]:
    """As float64; axes along which an array repeats one value (a broadcast view) get length one."""
    array = np.asarray(values)
    one = array[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in array.strides)]
    return np.asarray(one, dtype=np.float64)


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


NEURONS = ("IF", "LIF", "CubaLIF", "I", "LI", "CubaLI")

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


def cell(name: str, node: Any, semantics: Semantics) -> Cell:
    """The cell of a NIR node. Raises UnsupportedError, by name, for a node that is not in the tables."""
    kind = type(node).__name__
    if name in semantics.fixed_point:
        return FixedPointNeuron(name, node, semantics)
    if kind in NEURONS:
        return Neuron(node, semantics)
    if kind not in CELLS:
        raise UnsupportedError(f"a {kind} node", where=name, allowed=", ".join(sorted({*CELLS, *NEURONS})))
    return CELLS[kind](node)
