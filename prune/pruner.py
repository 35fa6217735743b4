"""What every pruner shares: choosing the weights, counting optimizer steps, freezing the mask, finalizing, its state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Required, TypedDict

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.optim import Optimizer

from filopodia.arguments import whole
from filopodia.errors import FileError, InputError, TrainingError, UnsupportedError
from filopodia.prune.attach import WEIGHTED, attach, check_plain, detach, spine_of, theta_of
from filopodia.prune.theta import SpineSize

Layers = Sequence[str | type[nn.Module]] | Callable[[str, nn.Module], bool] | None


class Common(TypedDict, total=False):
    """The keywords of `Pruner` that its methods hand on."""

    total_steps: Required[int]
    layers: Layers
    dense: Sequence[str]


@dataclass(frozen=True, eq=False)
class PrunedWeight:
    """One pruned weight: `name` is the layer's path in the model (its weight is `module.weight`)."""

    name: str
    module: nn.Module

    @property
    def theta(self) -> nn.Parameter:
        """θ, the Parameter the optimizer trains."""
        return theta_of(self.module, "weight")

    @property
    def spine(self) -> SpineSize:
        """The map from θ to w."""
        return spine_of(self.module, "weight")

    @torch.no_grad()
    def weight(self) -> Tensor:
        """w as every forward pass sees it, without gradient."""
        weight: Tensor = self.spine(self.theta)
        return weight


def choose_layers(model: nn.Module, layers: Layers, dense: Sequence[str]) -> list[tuple[str, nn.Module]]:
    """The weighted layers to prune, in the model's order.

    `layers`: name patterns (`fnmatch`: "conv*") and types (`nn.Conv2d`), or a function of (name, module), or None for every
    Linear and Conv. `dense`: patterns of layers left alone. Raises InputError for a pattern or type that fits no layer, or if
    nothing is left.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"a {type(model).__name__}", where="model", allowed="a torch.nn.Module")
    weighted: list[tuple[str, nn.Module]] = [
        (name, module) for name, module in model.named_modules() if isinstance(module, WEIGHTED)
    ]
    names = [name for name, _ in weighted]
    patterns = [*_patterns(dense, "dense"), *([] if layers is None or callable(layers) else _patterns(layers, "layers"))]
    for pattern in patterns:
        if not any(_fits(pattern, name, module) for name, module in weighted):
            raise InputError(
                f"no layer fits {pattern!r}", where="layers to prune", allowed=", ".join(names) or "none: no weights"
            )

    def wanted(name: str, module: nn.Module) -> bool:
        if any(fnmatchcase(name, pattern) for pattern in dense):
            return False
        if layers is None:
            return True
        return layers(name, module) if callable(layers) else any(_fits(pattern, name, module) for pattern in layers)

    chosen = [(name, module) for name, module in weighted if wanted(name, module)]
    if not chosen:
        raise InputError("no layer is left to prune", where="layers to prune", allowed=", ".join(names) or "none: no weights")
    seen: dict[int, str] = {}
    for name, module in chosen:
        if not parametrize.is_parametrized(module, "weight"):
            other = seen.setdefault(id(module.weight), name)
            if other != name:
                raise UnsupportedError(f"shares its weight with {other}", where=name, fix="leave both dense, or untie them")
    return chosen


def _patterns(given: Any, where: str) -> list[str | type[nn.Module]]:
    """The names, patterns and types in a list; InputError for anything else."""
    allowed = 'a list of names, patterns ("conv*") and module types'
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InputError(f"found {given!r}", where=where, allowed=allowed, fix=f"{where}=[{given!r}]")
    patterns = list(given)
    for one in patterns:
        if not isinstance(one, str if where == "dense" else str | type):
            raise InputError(
                f"found {one!r}", where=where, allowed='names and patterns ("conv*")' if where == "dense" else allowed
            )
    return patterns


def _fits(pattern: str | type[nn.Module], name: str, module: nn.Module) -> bool:
    return fnmatchcase(name, pattern) if isinstance(pattern, str) else isinstance(module, pattern)


def steps_of(total_steps: Any) -> int:
    """`total_steps`, checked."""
    fix = "optimizer steps per epoch × epochs, rounded up where batches are accumulated"
    return whole(total_steps, "total_steps", allowed="a whole number of at least 1 optimizer step", fix=fix)


def check_trained(chosen: Sequence[tuple[str, nn.Module]], optimizer: Optimizer | None) -> None:
    """Raise InputError unless the weights are numbers, and trained by the optimizer where there is one."""
    if optimizer is not None and not isinstance(optimizer, Optimizer):
        raise InputError(f"a {type(optimizer).__name__}", where="optimizer", allowed="a torch optimizer, or None")
    for name, module in chosen:
        if not torch.isfinite(module.weight).all():  # type: ignore[arg-type]
            raise InputError("values that are not finite", where=f"weight of {name}", allowed="numbers", fix="train anew")
    if optimizer is not None:
        trained = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        if missing := [name for name, module in chosen if id(module.weight) not in trained]:
            raise untrained(missing)


def untrained(names: Sequence[str]) -> InputError:
    """The error for an optimizer that is another model's, or of a part of this one."""
    shown = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
    fix = 'give the optimizer of this model; layers that are not to be trained: dense=["name"]'
    return InputError(f"does not train {shown}", where="optimizer", allowed="one that trains every pruned weight", fix=fix)


class Pruner(ABC):
    """Call `step()` after every `optimizer.step()`, `finalize()` at the end.

    `total_steps` counts optimizer steps, so gradient accumulation needs nothing special. `optimizer` is read for its
    learning rate and has its momenta of pruned entries cleared at the freeze; any torch optimizer will do.
    Attributes: `weights`, the pruned weights in order; `steps`, how many were taken; `total`, how many weights there are.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        optimizer: Optimizer | None,
        total_steps: int,
        layers: Layers = None,
        dense: Sequence[str] = (),
    ) -> None:
        total_steps = steps_of(total_steps)
        chosen = choose_layers(model, layers, dense)
        for name, module in chosen:  # all before the first is changed
            check_plain(module, "weight", name)
        check_trained(chosen, optimizer)
        self.model, self.optimizer, self.total_steps, self.steps = model, optimizer, total_steps, 0
        for name, module in chosen:
            attach(module, "weight", self.make_spine(module.weight), where=name)  # type: ignore[arg-type]
        self.weights = tuple(PrunedWeight(name, module) for name, module in chosen)
        self.total = sum(weight.theta.numel() for weight in self.weights)

    def make_spine(self, weight: Tensor) -> SpineSize:
        """The parametrization this pruner puts on a weight."""
        return SpineSize(weight)

    @abstractmethod
    def advance(self) -> None:
        """What the method does after optimizer step `self.steps` (1 for the first)."""

    def step(self) -> None:
        """Count one optimizer step and prune accordingly. Raises TrainingError past `total_steps`, before any change."""
        if not self.weights:
            raise TrainingError(
                "is finalized: nothing is left to prune", where="pruner.step()", fix="finalize() after the last step"
            )
        if self.steps >= self.total_steps:
            raise TrainingError(
                f"step {self.steps + 1} of {self.total_steps}",
                where="pruner.step()",
                fix="pass the total_steps you really train: optimizer steps per epoch × epochs, not batches when accumulating",
            )
        self.steps += 1
        self.advance()

    @property
    def frozen(self) -> bool:
        """Whether the masks are fixed."""
        return all(weight.spine.frozen for weight in self.weights)

    def sparsity(self) -> float:
        """Zero weights over all pruned weights."""
        return sum(int((weight.weight() == 0).sum()) for weight in self.weights) / self.total

    @torch.no_grad()
    def freeze(self, masks: Sequence[Tensor]) -> None:
        """Fix which weights live, one bool mask per entry of `weights`; pruned entries and their momenta become zero."""
        for weight, mask in zip(self.weights, masks, strict=True):
            weight.spine.freeze(weight.theta, mask)
            state = self.optimizer.state.get(weight.theta, {}) if self.optimizer is not None else {}
            for value in state.values():
                if isinstance(value, Tensor) and value.shape == mask.shape:
                    value.mul_(mask)

    def finalize(self) -> nn.Module:
        """Take every parametrization off: plain modules with exact zeros. Returns the model."""
        for weight in self.weights:
            detach(weight.module, "weight")
        self.weights = ()
        return self.model

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on from here, beside the model's and the optimizer's own state."""
        return {
            "method": type(self).__name__,
            "steps": self.steps,
            "total_steps": self.total_steps,
            "spines": {weight.name: {k: v.clone() for k, v in weight.spine.state_dict().items()} for weight in self.weights},
            **self.extra_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state; FileError, before any change, if it is damaged, another method's, or of other layers."""
        known = state if isinstance(state, Mapping) else {}
        for key, here in (("method", type(self).__name__), ("total_steps", self.total_steps)):
            if key in known and known[key] != here:
                raise FileError(
                    f"{key} {state[key]}", where="pruner state", allowed=str(here), fix="resume with the same settings"
                )
        if missing := [key for key in self.state_dict() if key not in known]:
            allowed = "what state_dict() of a pruner of this method gave"
            raise FileError(f"lacks {', '.join(missing)}", where="pruner state", allowed=allowed)
        if list(state["spines"]) != [weight.name for weight in self.weights]:
            raise FileError(
                f"layers {', '.join(state['spines'])}",
                where="pruner state",
                allowed=", ".join(weight.name for weight in self.weights),
                fix="resume with the architecture and layers the state was saved with",
            )
        for weight in self.weights:
            shapes = {key: tuple(value.shape) for key, value in state["spines"][weight.name].items()}
            if shapes.get("mask", tuple(weight.theta.shape)) != tuple(weight.theta.shape):
                raise FileError(
                    f"a mask of shape {list(shapes['mask'])}",
                    where=f"pruner state, {weight.name}",
                    allowed=str(list(weight.theta.shape)),
                    fix="resume with the architecture the state was saved with",
                )
        self.steps = state["steps"]
        for weight in self.weights:
            weight.spine.load_state_dict(state["spines"][weight.name])
        self.load_extra_state(state)

    def extra_state(self) -> dict[str, Any]:
        """What a method adds to the state: scalars, lists and tensors."""
        return {}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Take back what `extra_state` gave."""
        return


def smallest(scores: Sequence[Tensor], count: int) -> list[Tensor]:
    """Bool masks of what is kept when exactly the `count` smallest scores over all tensors are dropped; ties by position."""
    flat = torch.cat([score.flatten() for score in scores])
    kept = torch.ones(flat.numel(), dtype=torch.bool, device=flat.device)
    kept[torch.sort(flat, stable=True).indices[:count]] = False
    parts = kept.split([score.numel() for score in scores])
    return [part.view(score.shape) for part, score in zip(parts, scores, strict=True)]
