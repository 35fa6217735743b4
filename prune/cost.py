"""STDS that lands on a cost instead of a count: on synapses, or on synaptic operations (SynOps) per sample.

Every weight has a cost: the synapses it stands for, or the spikes that meet it in one sample, measured while training. The
threshold is placed where the cost of what lies above it follows the schedule from the dense network's to the asked one; and
a layer whose weights cost more than others' gets a higher threshold, d ∝ cost^weighting, within bounds.

Within a layer all synapses share one threshold, whatever their pre-synaptic neurons fire. Thresholds per synapse, d ∝ cost^γ,
cost accuracy at equal synops for every γ > 0 tried (docs/pruning.md); perhaps because what a synapse contributes to the next
layer grows with that rate as its cost does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.optim import Optimizer

from filopodia.arguments import not_negative, number, share
from filopodia.errors import InputError, TrainingError
from filopodia.prune.pruner import Layers, PrunedWeight
from filopodia.prune.schedule import Shape
from filopodia.prune.stds import SAMPLE, STDS
from filopodia.prune.synops import SynopMeter, expansion, uses

BOUND = 2.0  # layers' scales stay within 1/BOUND and BOUND: a dear layer is often a small one that nothing works without
MEMORY = 0.8  # of the running mean of spike counts, from one control point to the next
LANDINGS, LANDED = 10, 0.005  # tries to land on a SynOps target, and the relative error that is good enough
SPARE = 1.1  # SynOps aimed at while training, over the target: rates still move, and in the end a mask can only shrink


class CostSTDS(STDS):
    """STDS to a target cost; exactly one of

    - `target_synapse_sparsity`: zero synapses over all synapses of the pruned layers, spatially expanded; exact at the freeze.
    - `target_synops`: synaptic operations per sample in the pruned layers. Training ends a little above; `land`
      (the trainer calls it) then drops the smallest weights until counts in eval mode meet the target.

    The network is fed [T, N, …]. `weighting` 0 leaves one threshold for all layers; more spares cheap layers at the expense of
    dear ones. The rest as STDS.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        optimizer: Optimizer | None = None,
        total_steps: int,
        target_synapse_sparsity: float | None = None,
        target_synops: float | None = None,
        weighting: float = 0.0,
        schedule: Shape = "cubic",
        start: float = 0.0,
        end: float = 0.6,
        freeze: float = 0.75,
        layers: Layers = None,
        dense: Sequence[str] = (),
        control_every: int = 10,
    ) -> None:
        if (target_synapse_sparsity is None) == (target_synops is None):
            raise InputError("none or both given", where="target_synapse_sparsity, target_synops", allowed="exactly one")
        if target_synapse_sparsity is not None:
            target_synapse_sparsity = share(target_synapse_sparsity, "target_synapse_sparsity")
        if target_synops is not None:
            target_synops = number(target_synops, "target_synops", above=0.0, allowed="more than 0")
        weighting = not_negative(weighting, "weighting")
        super().__init__(
            model,
            optimizer=optimizer,
            total_steps=total_steps,
            schedule=schedule,
            start=start,
            end=end,
            freeze=freeze,
            layers=layers,
            dense=dense,
            control_every=control_every,
        )
        self.synapse_target, self.synops_target, self.weighting = target_synapse_sparsity, target_synops, weighting
        self.counts: dict[str, Tensor] = {}
        self.dense_cost = 0.0
        self._meter: SynopMeter | None = SynopMeter(model, training=True).__enter__()

    def advance(self) -> None:
        """As STDS; the forward passes just before a control point are measured."""
        due = self.steps == 1 or self.steps - self.control_step >= self.control_every
        if due:
            self._measure()
        frozen = self.frozen
        super().advance()
        if frozen and due and self.synops_target is not None:
            self.control_step = self.steps
            self._shrink(self.synops_target * SPARE)
        next_due = self.steps + 1 - self.control_step >= self.control_every
        if next_due and self._meter is None:
            self._meter = SynopMeter(self.model, training=True).__enter__()

    def cost(self) -> float:
        """Synapses, or synops per sample, of the present weights by the last measurement."""
        return sum(float(cost[weight.weight() != 0].sum()) for weight, cost in zip(self.weights, self.costs(), strict=True))

    def costs(self) -> list[Tensor]:
        """What each weight costs, one tensor of the weight's shape per entry of `weights`."""
        if self.synapse_target is not None:
            return [expansion(weight.module, tuple(self.counts[weight.name].shape)) for weight in self.weights]
        return [uses(weight.module, self.counts[weight.name]) for weight in self.weights]

    @torch.no_grad()
    def land(self, measure: Callable[[], Mapping[str, Tensor]]) -> float:
        """Drop the smallest weights until the synops in eval mode are the target's; returns them. Needs the frozen masks.

        `measure` returns the counts of a SynopMeter over the present network. Dropping synapses changes the spikes behind
        them, so the first tries correct the budget by what the last one came to. A single weight of a convolution can move
        the firing of everything behind it, and then that correction jumps to and fro over the target: once one try came out
        above and one below, the budgets between are halved. The nearest try counts; within LANDED of the target it is done.
        """
        self.counts = dict(measure())
        if self.synops_target is None or self.cost() <= self.synops_target:
            return self.cost()
        target = self.synops_target
        whole = [(weight.theta.clone(), weight.weight() != 0) for weight in self.weights]
        before = dict(self.counts)

        def attempt(budget: float) -> float:
            for weight, (theta, mask) in zip(self.weights, whole, strict=True):
                weight.theta.copy_(theta)
                weight.spine.mask = mask
            self.counts = before
            self._shrink(budget)
            self.counts = dict(measure())
            return self.cost()

        budget = target
        tried: dict[float, float] = {}  # budget -> what it came to
        while len(tried) < LANDINGS:
            tried[budget] = attempt(budget)
            if abs(tried[budget] / target - 1.0) <= LANDED:
                return tried[budget]
            below, above = ({b for b, landed in tried.items() if (landed <= target) == under} for under in (True, False))
            budget = (max(below) + min(above)) / 2 if below and above else budget * target / max(tried[budget], 1e-9)
        return attempt(min(tried, key=lambda b: abs(tried[b] - target)))

    def finalize(self) -> nn.Module:
        """As STDS."""
        if self._meter is not None:
            self._meter.__exit__()
            self._meter = None
        return super().finalize()

    def _measure(self) -> None:
        assert self._meter is not None
        self._meter.__exit__()
        measured, self._meter = self._meter.counts() if self._meter.samples else {}, None
        if distributed.is_available() and distributed.is_initialized():
            for counts in measured.values():  # every process must place the same threshold
                distributed.all_reduce(counts)
                counts /= distributed.get_world_size()
        for weight in self.weights:
            if weight.name not in measured:
                raise TrainingError(
                    "no input seen before pruner.step()",
                    where=weight.name,
                    fix="run the model that STDS was given, on [T, N, …]",
                )
            new, old = measured[weight.name], self.counts.get(weight.name)
            self.counts[weight.name] = new if old is None or old.shape != new.shape else MEMORY * old + (1.0 - MEMORY) * new
        if not self.dense_cost:
            self.dense_cost = sum(float(cost.sum()) for cost in self.costs())
        if self.weighting and not self.frozen:
            logs = [math.log(max(float(cost.mean()), 1e-6)) for cost in self.costs()]
            middle = sum(logs) / len(logs)
            for weight, value in zip(self.weights, logs, strict=True):
                self.scales[weight.name] = min(max(math.exp(self.weighting * (value - middle)), 1 / BOUND), BOUND)

    def _place(self, group: Sequence[PrunedWeight], progress: float) -> float:
        goal = self._target_cost(SPARE)
        budget = self.dense_cost + (goal - self.dense_cost) * progress
        stride = max(1, self.total // SAMPLE)
        scores = torch.cat([self._sample(weight, stride) for weight in group])
        costs = torch.cat([cost.flatten()[::stride] for cost in self.costs()])
        order = torch.sort(scores, descending=True, stable=True)
        within = int((costs[order.indices].cumsum(0, dtype=torch.float64) * stride <= budget).sum())
        return float(order.values[within]) if within < scores.numel() else 0.0

    def _keep(self, group: Sequence[PrunedWeight], scores: Sequence[Tensor]) -> list[Tensor]:
        return dearest_within(scores, self.costs(), self._target_cost(SPARE))

    def _target_cost(self, spare: float) -> float:
        if self.synops_target is not None:
            return self.synops_target * spare
        assert self.synapse_target is not None
        return (1.0 - self.synapse_target) * self.dense_cost

    def _shrink(self, budget: float) -> None:
        """Drop the smallest living weights, at the layers' scales, until the cost is within `budget`."""
        if self.cost() <= budget:
            return
        masks = dearest_within([self._score(weight) for weight in self.weights], self.costs(), budget)
        self.freeze([mask & (weight.weight() != 0) for mask, weight in zip(masks, self.weights, strict=True)])

    def extra_state(self) -> dict[str, Any]:
        """STDS's, and the measured spike counts."""
        return {**super().extra_state(), "dense_cost": self.dense_cost, "tensors": dict(self.counts)}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Take it back."""
        super().load_extra_state(state)
        self.dense_cost, self.counts = state["dense_cost"], dict(state["tensors"])
        next_due = self.steps + 1 - self.control_step >= self.control_every
        if self._meter is not None and not next_due:
            self._meter.__exit__()
            self._meter = None


def dearest_within(scores: Sequence[Tensor], costs: Sequence[Tensor], budget: float) -> list[Tensor]:
    """Bool masks of the highest scores whose costs sum to `budget` at most."""
    flat = torch.cat([score.flatten() for score in scores])
    order = torch.sort(flat, descending=True, stable=True).indices
    spent = torch.cat([cost.flatten() for cost in costs])[order].cumsum(0, dtype=torch.float64)
    kept = torch.zeros(flat.numel(), dtype=torch.bool, device=flat.device)
    kept[order[: int((spent <= budget).sum())]] = True
    parts = torch.split(kept, [score.numel() for score in scores])
    return [part.view(score.shape) for part, score in zip(parts, scores, strict=True)]
