"""The graph between torch and the files: what a model computes in one step, as a list of small operations.

`trace` writes it down while the model runs, `fold` and `lower` rewrite it, `to_nir` turns it into NIR nodes. Shapes leave
out time and samples. Weights are the model's own tensors, not copies.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor, nn

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Source:
    """Where data enters. `binary` when every value of the sample was 0 or 1."""


@dataclass(frozen=True, eq=False)
class Dense:
    """y = W x + b on a vector; weight [out, in]."""

    weight: Tensor
    bias: Tensor | None


@dataclass(frozen=True, eq=False)
class Conv:
    """torch's convolution in one or two dimensions; weight [out, in / groups, *kernel], zero padding."""

    weight: Tensor
    bias: Tensor | None
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int


@dataclass(frozen=True, eq=False)
class Norm:
    """y = scale[c] x + shift[c] per channel, float64: a BatchNorm in evaluation."""

    scale: Tensor
    shift: Tensor


@dataclass(frozen=True, eq=False)
class Pool:
    """A window over the last one or two axes; padding counts as zeros."""

    kind: Literal["average", "sum", "max"]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Flat:
    """Axes `start` to `end` (inclusive, not counting time and samples) become one."""

    start: int
    end: int


@dataclass(frozen=True, eq=False)
class Add:
    """The sum of two values of the same shape."""


@dataclass(frozen=True, eq=False)
class Gain:
    """y = factor x, elementwise; `factor` is a scalar tensor or broadcasts to the shape."""

    factor: Tensor


@dataclass(frozen=True, eq=False)
class Shift:
    """y = x + constant; the constant broadcasts to the shape."""

    constant: Tensor


@dataclass(frozen=True, eq=False)
class Join:
    """The inputs side by side along `axis` (not counting time and samples)."""

    axis: int


@dataclass(frozen=True, eq=False)
class Previous:
    """The input's value in the step before, 0 in the first: the feedback of a recurrent layer."""


@dataclass(frozen=True, eq=False)
class Step:
    """1 where the input is above `threshold`, else 0: no state."""

    threshold: float


@dataclass(frozen=True, eq=False)
class Neuron:
    """A point neuron, in steps: what one step does to its state.

    `if`    v += x                                  `i` the same without firing
    `lif`   v += (x - (v - rest)) / tau             `li` the same without firing
    `cuba`  c = c * c_decay + x; v = v * v_decay + c
    With `decay_input` False the `lif` input is not divided: v += x - (v - rest) / tau.
    It fires at v >= threshold when `at_threshold`, else at v > threshold; then v = reset, or v -= threshold when reset is None.
    It starts at `rest`, an `if` at `reset`, currents at 0.
    With a `scale` other than 0, an `if` or `lif` computes in fixed point, `scale` units per 1: see `prune.fixed_point`.
    """

    kind: Literal["if", "lif", "cuba", "i", "li"]
    tau: float = 0.0
    decay_input: bool = True
    c_decay: float = 0.0
    v_decay: float = 0.0
    threshold: float = 0.0
    reset: float | None = 0.0
    rest: float = 0.0
    at_threshold: bool = True
    scale: float = 0.0

    @property
    def fires(self) -> bool:
        return self.kind in ("if", "lif", "cuba")


What = Source | Dense | Conv | Norm | Pool | Flat | Add | Gain | Shift | Join | Previous | Step | Neuron


@dataclass(frozen=True, eq=False)
class Op:
    """One operation: its readable name, what it does, the operations it reads, its output shape.

    `binary` says that its output is 0 or 1. `module` is the torch module it came from, if it came from one.
    """

    name: str
    what: What
    inputs: tuple[int, ...]
    shape: Shape
    binary: bool = False
    module: nn.Module | None = None


@dataclass(frozen=True, eq=False)
class Graph:
    """Operations by number, in the order they ran; inputs and outputs by file name."""

    ops: dict[int, Op]
    inputs: dict[str, int]
    outputs: dict[str, int]
    votes: int = 1  # neighbouring output neurons per class, when the model ends in a vote
    over_time: str = ""  # "sum", "mean", "max-mem" ...: what the model does over time after its last layer

    def readers(self, number: int) -> list[int]:
        """Operations that read `number`, once per reading."""
        return [n for n, op in self.ops.items() for source in op.inputs if source == number]

    def with_ops(self, ops: dict[int, Op]) -> Graph:
        """The same graph over other operations."""
        return replace(self, ops=ops)
