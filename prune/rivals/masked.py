"""Pruners that hold a mask from the first step on, and the layer densities sparse training starts from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from filopodia.arguments import number, share, whole
from filopodia.errors import InputError
from filopodia.prune.pruner import Common, Pruner, smallest


class Window(Common, total=False):
    """The keywords of `Masked` that its methods hand on."""

    optimizer: Optimizer | None
    target_sparsity: float
    start: float
    end: float


class Masked(Pruner):
    """w = θ where the mask is true. `change` gives new masks every `every` steps from `start` to `end` (shares of the run).

    After `end` the masks stay. A pruned entry's θ and momenta are zero, so one that comes back starts at zero.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        optimizer: Optimizer | None = None,
        target_sparsity: float = 0.95,
        start: float = 0.0,
        end: float = 0.75,
        every: int = 20,
        **common: Unpack[Common],
    ) -> None:
        target_sparsity = share(target_sparsity, "target_sparsity")
        if not 0.0 <= number(start, "start") <= number(end, "end") <= 1.0:
            raise InputError(f"{start}, {end}", where="start, end", allowed="0 <= start <= end <= 1")
        whole(every, "every", allowed="1 or more steps")
        super().__init__(model, optimizer=optimizer, **common)
        self.target, self.every = target_sparsity, every
        self.first, self.last = round(start * self.total_steps), max(round(end * self.total_steps), 1)
        self.freeze(self.initial())

    def initial(self) -> list[Tensor]:
        """The masks of step 0: everything lives."""
        return [torch.ones_like(weight.theta, dtype=torch.bool) for weight in self.weights]

    @abstractmethod
    def change(self, progress: float) -> list[Tensor]:
        """The masks from now on; `progress` is 0 at the first change and 1 at the last."""

    def advance(self) -> None:
        """Change the masks when it is time; the last change always comes."""
        if self.first <= self.steps <= self.last and ((self.steps - self.first) % self.every == 0 or self.steps == self.last):
            self.freeze(self.change((self.steps - self.first) / max(self.last - self.first, 1)))

    @property
    def frozen(self) -> bool:
        """Whether the last change is behind."""
        return self.steps >= self.last

    def masks(self) -> list[Tensor]:
        """The present masks."""
        return [weight.spine.mask for weight in self.weights if weight.spine.mask is not None]

    def by_magnitude(self, sparsity: float) -> list[Tensor]:
        """Masks that drop the smallest |w| over all layers."""
        return smallest([weight.weight().abs() for weight in self.weights], round(sparsity * self.total))


def erdos_renyi(shapes: Sequence[torch.Size], sparsity: float) -> list[int]:
    """Weights each layer keeps under the Erdős–Rényi-kernel rule: density ∝ (Σ dimensions)/(Π dimensions), at most 1.

    The sum is exactly the asked number. Source: Mocanu et al. 2018; Evci et al. 2020 for kernels.
    """
    sizes = [shape.numel() for shape in shapes]
    budget = sum(sizes) - round(sparsity * sum(sizes))
    raw = [sum(shape) / shape.numel() for shape in shapes]
    full: set[int] = set()
    while True:
        rest = budget - sum(sizes[i] for i in full)
        scale = rest / sum(raw[i] * sizes[i] for i in range(len(sizes)) if i not in full)
        over = {i for i in range(len(sizes)) if i not in full and raw[i] * scale > 1.0}
        if not over:
            break
        full |= over
    kept = [sizes[i] if i in full else int(raw[i] * scale * sizes[i]) for i in range(len(sizes))]
    for i in sorted(range(len(sizes)), key=lambda i: kept[i] - sizes[i])[: budget - sum(kept)]:
        kept[i] += 1
    return kept


def random_masks(shapes: Sequence[torch.Size], kept: Sequence[int], device: torch.device) -> list[Tensor]:
    """Masks with `kept` entries each, drawn from torch's generator."""
    masks = []
    for shape, count in zip(shapes, kept, strict=True):
        mask = torch.zeros(shape.numel(), dtype=torch.bool, device=device)
        mask[torch.randperm(shape.numel())[:count].to(device)] = True
        masks.append(mask.view(shape))
    return masks
