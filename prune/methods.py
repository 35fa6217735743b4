"""From a configuration to its pruner."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.optim import Optimizer

from filopodia.prune.config import TrainConfig
from filopodia.prune.cost import CostSTDS
from filopodia.prune.pruner import Pruner
from filopodia.prune.rivals import (
    UPR,
    GradR,
    GradualMagnitude,
    OneShotMagnitude,
    RandomMask,
    RigL,
    SoftThreshold,
    SparseEvolution,
)
from filopodia.prune.stds import STDS


def make_pruner(net: nn.Module, optimizer: Optimizer, config: TrainConfig, total_steps: int) -> Pruner | None:
    """The pruner of a run, attached to `net`; None for a dense one.

    All share the target and the layers. The masks of all are fixed by `freeze`, so the fine-tuning is equally long.
    """
    prune = config.prune
    common: dict[str, Any] = {
        "optimizer": optimizer,
        "total_steps": total_steps,
        "target_sparsity": prune.target_sparsity,
        "dense": prune.dense,
    }
    window: dict[str, Any] = {"schedule": prune.schedule, "start": prune.start, "end": prune.end, "freeze": prune.freeze}
    match prune.method:
        case "dense":
            return None
        case "stds" if prune.target_synops or prune.target_synapse_sparsity:
            del common["target_sparsity"]
            return CostSTDS(
                net,
                **common,
                **window,
                target_synapse_sparsity=prune.target_synapse_sparsity or None,
                target_synops=prune.target_synops or None,
                weighting=prune.cost_weighting,
            )
        case "stds" if prune.threshold or prune.strength:
            common["target_sparsity"] = None
            return STDS(net, **common, **window, threshold=prune.threshold or None, strength=prune.strength or None)
        case "stds":
            return STDS(net, **common, **window)
        case "soft_threshold":
            return SoftThreshold(net, **common, **window)
        case "grad_r":
            return GradR(net, **common, freeze=prune.freeze)
        case "gradual_magnitude":
            return GradualMagnitude(net, **common, start=prune.start, end=prune.freeze)
        case "one_shot_magnitude":
            return OneShotMagnitude(net, **common, end=prune.freeze)
        case "random":
            return RandomMask(net, **common)
        case "set":
            return SparseEvolution(net, **common, end=prune.freeze)
        case "rigl":
            return RigL(net, **common, end=prune.freeze)
        case "upr":
            return UPR(net, **common, freeze=prune.freeze)
