"""How far along its way a threshold or a sparsity is: f(x) from x in [0, 1] to [0, 1].

`sine` and `linear` are the paper's d(n) = D·f(n/N); `cubic` is gradual magnitude pruning's (Zhu & Gupta 2017); `cosine_lr`
is the λ-normalised schedule of the same first author's LATS (ICLR 2023) for a learning rate that falls as a half cosine:
Δd/lr, the strength of the L1 pull, then stays constant (`strength` in STDS does the same for any learning rate).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from filopodia.errors import InputError

Shape = Literal["constant", "linear", "sine", "cubic", "cosine_lr"]

SHAPES: dict[str, Callable[[float], float]] = {
    "constant": lambda x: 1.0,
    "linear": lambda x: x,
    "sine": lambda x: (1.0 - math.cos(math.pi * x)) / 2.0,
    "cubic": lambda x: 1.0 - (1.0 - x) ** 3,
    "cosine_lr": lambda x: x + math.sin(math.pi * x) / math.pi,
}


@dataclass(frozen=True)
class Schedule:
    """A shape stretched over optimizer steps `start` to `end`: 0 before (a constant is 1 from step 0), 1 after."""

    shape: Shape
    start: int
    end: int

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise InputError(f"found {self.shape!r}", where="schedule", allowed=", ".join(SHAPES))
        if not 0 <= self.start < self.end:
            raise InputError(f"start {self.start}, end {self.end}", where="schedule", allowed="0 <= start < end, in steps")

    def __call__(self, step: int) -> float:
        """f at optimizer step `step`, counted from 1 for the first step taken."""
        x = (step - self.start) / (self.end - self.start)
        return SHAPES[self.shape](min(max(x, 0.0), 1.0))
