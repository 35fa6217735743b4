"""STDS: spine-state pruning (Chen et al., ICML 2022), with a closed loop that lands on an asked sparsity.

A threshold d(n) grows with the optimizer steps; spines with |θ| ≤ d are filopodia and carry no weight. Between two steps
an active weight moves by −lr·g − Δd·sgn(w): an L1 pull of strength λ = Δd/lr. So d alone means nothing outside its learning
rate and length, and λ = D/Σlr, reported as `strength`, is what carries over from one run to another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from filopodia.arguments import not_negative, number, share, whole
from filopodia.errors import InputError, TrainingError
from filopodia.prune.pruner import Layers, PrunedWeight, Pruner, choose_layers, smallest, steps_of, untrained
from filopodia.prune.schedule import Schedule, Shape

SAMPLE = 1 << 16  # spines looked at to place a threshold between control points; the last one looks at all


class STDS(Pruner):
    """The spine-state pruner. Exactly one of three drives the threshold:

    - `target_sparsity` (0.95 unless another is given): d follows the quantile of |θ| along a sparsity curve of the given
      schedule, measured every `control_every` steps; at `freeze` the mask is fixed at exactly the asked sparsity over all
      pruned weights (to the nearest weight) and the rest of the training fine-tunes.
    - `threshold`: the paper's open loop, d(n) = D·f(n/N).
    - `strength`: Δd = λ·lr at every step, for any learning-rate schedule.

    `start`, `end`, `freeze` are fractions of `total_steps`: the schedule runs from start to end and then holds. `freeze`
    None means 0.75 with a target, never without. `schedule` defaults to cubic with a target and to sine with a threshold.
    `scales` multiplies the threshold of a layer by name; the target then holds for all layers together.
    `per_layer=True` gives every layer its own threshold and the target holds in each.
    `inverse_start=True` starts a constant threshold at θ = sign(w)(|w| + D), so that training begins from the given weights.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        optimizer: Optimizer | None = None,
        total_steps: int,
        target_sparsity: float | None = None,
        threshold: float | None = None,
        strength: float | None = None,
        schedule: Shape | None = None,
        start: float = 0.0,
        end: float | None = None,
        freeze: float | None = None,
        layers: Layers = None,
        dense: Sequence[str] = (),
        scales: Mapping[str, float] | None = None,
        per_layer: bool = False,
        inverse_start: bool = False,
        control_every: int = 10,
    ) -> None:
        given = [value for value in (target_sparsity, threshold, strength) if value is not None]
        if len(given) > 1:
            raise InputError(f"{len(given)} of them given", where="target_sparsity, threshold, strength", allowed="exactly one")
        target = 0.95 if not given else target_sparsity
        target = None if target is None else share(target, "target_sparsity")
        threshold = None if threshold is None else not_negative(threshold, "threshold")
        strength = None if strength is None else not_negative(strength, "strength")
        total_steps = steps_of(total_steps)
        if strength is not None and optimizer is None:
            raise InputError("no optimizer given", where="strength", fix="STDS(model, optimizer=optimizer, strength=…)")
        freeze = 0.75 if freeze is None and target is not None else freeze
        end = (0.6 if target is not None else 1.0) if end is None else end
        start, end = number(start, "start"), number(end, "end")
        if not 0.0 <= start < end <= (1.0 if freeze is None else number(freeze, "freeze")) <= 1.0:
            raise InputError(f"{start}, {end}, {freeze}", where="start, end, freeze", allowed="0 <= start < end <= freeze <= 1")
        whole(control_every, "control_every", allowed="1 or more steps")
        first, last = round(start * total_steps), max(round(end * total_steps), round(start * total_steps) + 1)
        curve = Schedule(schedule or ("cubic" if target is not None else "sine"), first, last)
        if inverse_start and (threshold is None or curve.shape != "constant"):
            raise InputError(
                "the threshold does not start at D", where="inverse_start", allowed='threshold=D, schedule="constant"'
            )
        names = [name for name, _ in choose_layers(model, layers, dense)]
        for name, scale in (scales or {}).items():
            if name not in names:
                raise InputError(f"no pruned layer {name!r}", where="scales", allowed=", ".join(names))
            number(scale, f"scales of {name}", above=0.0)
        super().__init__(model, optimizer=optimizer, total_steps=total_steps, layers=layers, dense=dense)
        self.target, self.threshold, self.strength_asked = target, threshold, strength
        self.schedule = curve
        self.freeze_step = None if freeze is None else max(round(freeze * total_steps), 1)
        self.scales = {name: (scales or {}).get(name, 1.0) for name in names}
        self.groups = [(weight,) for weight in self.weights] if per_layer else [self.weights]
        self.control_every = control_every
        self.learned = 0.0  # Σlr so far
        self.control_step = 0
        self.from_d, self.to_d, self.d = ([0.0] * len(self.groups) for _ in range(3))
        if threshold is not None and self.schedule.shape == "constant":
            self._set([threshold])
        if inverse_start:
            with torch.no_grad():
                for weight in self.weights:
                    weight.theta.copy_(weight.spine.right_inverse(weight.theta))

    def advance(self) -> None:
        """Move the threshold to its value after this step; freeze when it is time."""
        rate = self._learning_rate()
        self.learned += rate
        if self.frozen:
            return
        if self.threshold is not None:
            self._set([self.threshold * self.schedule(self.steps)])
        elif self.strength_asked is not None:
            if self.schedule.start < self.steps <= self.schedule.end:
                self._set([self.d[0] + self.strength_asked * rate])
        else:
            self._control()
        if self.steps == self.freeze_step:
            self.freeze_now()

    def freeze_now(self) -> None:
        """Fix the masks: at exactly the target where there is one, at the present zeros where there isn't."""
        if self.target is None:
            self.freeze([weight.weight() != 0 for weight in self.weights])
            return
        masks: dict[str, torch.Tensor] = {}
        for index, group in enumerate(self.groups):
            scores = [self._score(weight) for weight in group]
            self._check(scores, group)
            kept = self._keep(group, scores)
            # The threshold that goes with this mask, so that no kept weight starts at zero.
            dropped = [score[~mask] for score, mask in zip(scores, kept, strict=True)]
            self.d[index] = max((float(part.max()) for part in dropped if part.numel()), default=0.0)
            masks.update({weight.name: mask for weight, mask in zip(group, kept, strict=True)})
        self._set(self.d)
        self.freeze([masks[weight.name] for weight in self.weights])

    def finalize(self) -> nn.Module:
        """Plain modules, exact zeros. A target not yet frozen is frozen now, so the asked sparsity holds however early."""
        if self.target is not None and self.weights and not self.frozen:
            self.freeze_now()
        return super().finalize()

    @property
    def strength(self) -> float:
        """λ = D/Σlr so far, the L1 strength (mean over the groups of thresholds); 0 before the first step."""
        return sum(self.d) / len(self.d) / self.learned if self.learned else 0.0

    def _control(self) -> None:
        done = self.steps - self.control_step
        if done >= self.control_every or self.steps == 1:
            self.control_step, done = self.steps, 0
            progress = self.schedule(self.steps + self.control_every)
            self.from_d = list(self.d)
            self.to_d = [self._place(group, progress) for group in self.groups]
        share = done / self.control_every
        self._set([a + (b - a) * share for a, b in zip(self.from_d, self.to_d, strict=True)])

    def _place(self, group: Sequence[PrunedWeight], progress: float) -> float:
        """The d that leaves `progress` of the asked sparsity at or under it, from a sample of the group's spines."""
        assert self.target is not None
        stride = max(1, sum(weight.theta.numel() for weight in group) // SAMPLE)
        scores = torch.cat([self._sample(weight, stride) for weight in group])
        self._check([scores], group)
        rank = round(self.target * progress * scores.numel())
        return float(scores.kthvalue(rank).values) if rank else 0.0

    def _check(self, scores: Sequence[torch.Tensor], group: Sequence[PrunedWeight]) -> None:
        """Raise TrainingError where a spine that is looked at is no number: no threshold has a meaning for it."""
        if not all(bool(torch.isfinite(score).all()) for score in scores):
            raise TrainingError(
                f"weights of {', '.join(weight.name for weight in group[:3])} are not finite",
                where=f"pruner, step {self.steps}",
                fix="stop on a loss that is not a number, before optimizer.step(); go on from the last good checkpoint",
            )

    def _keep(self, group: Sequence[PrunedWeight], scores: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The group's masks at the end."""
        assert self.target is not None
        return smallest(scores, round(self.target * sum(score.numel() for score in scores)))

    @torch.no_grad()
    def _score(self, weight: PrunedWeight) -> torch.Tensor:
        """|θ| in units of its layer's threshold."""
        return weight.theta.abs() / self.scales[weight.name]

    @torch.no_grad()
    def _sample(self, weight: PrunedWeight, stride: int) -> torch.Tensor:
        """The score of every `stride`-th spine, flat."""
        return weight.theta.flatten()[::stride].abs() / self.scales[weight.name]

    def _set(self, thresholds: Sequence[float]) -> None:
        self.d = list(thresholds)
        for group, d in zip(self.groups, self.d, strict=True):
            for weight in group:
                weight.spine.threshold.fill_(d * self.scales[weight.name])

    def _learning_rate(self) -> float:
        if self.optimizer is None:
            return 0.0
        theta = self.weights[0].theta
        for group in self.optimizer.param_groups:
            if any(parameter is theta for parameter in group["params"]):
                return float(group["lr"])
        raise untrained([self.weights[0].name])

    def extra_state(self) -> dict[str, Any]:
        """The controller: Σlr, the control point and its thresholds."""
        return {
            "learned": self.learned,
            "control_step": self.control_step,
            "from_d": list(self.from_d),
            "to_d": list(self.to_d),
            "d": list(self.d),
            "scales": dict(self.scales),
        }

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Take the controller back."""
        self.learned, self.control_step = state["learned"], state["control_step"]
        self.from_d, self.to_d, self.d = list(state["from_d"]), list(state["to_d"]), list(state["d"])
        self.scales = dict(state["scales"])
