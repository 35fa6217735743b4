"""Train spiking networks sparse: the spine-state pruner (STDS), its rivals, networks, data and the trainer.

Names are looked up when first used, so that reading a configuration needs no torch.
"""

if __name__ == "prune":
    raise ImportError("write `from filopodia import prune`: this folder is the package filopodia.prune, not a top-level module")

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filopodia.prune.ann import AnnScores as AnnScores
    from filopodia.prune.ann import ann_of as ann_of
    from filopodia.prune.ann import layer_sparsities as layer_sparsities
    from filopodia.prune.ann import train_anns as train_anns
    from filopodia.prune.checkpoint import load_model as load_model
    from filopodia.prune.config import DataConfig as DataConfig
    from filopodia.prune.config import NetConfig as NetConfig
    from filopodia.prune.config import PruneConfig as PruneConfig
    from filopodia.prune.config import TrainConfig as TrainConfig
    from filopodia.prune.cost import CostSTDS as CostSTDS
    from filopodia.prune.data import DataSet as DataSet
    from filopodia.prune.data import Samples as Samples
    from filopodia.prune.data import load_data as load_data
    from filopodia.prune.encoding import encode as encode
    from filopodia.prune.evaluation import Evaluation as Evaluation
    from filopodia.prune.evaluation import evaluate as evaluate
    from filopodia.prune.evaluation import readout as readout
    from filopodia.prune.hold import hold_zeros as hold_zeros
    from filopodia.prune.methods import make_pruner as make_pruner
    from filopodia.prune.nets import build_net as build_net
    from filopodia.prune.pruner import Pruner as Pruner
    from filopodia.prune.recipes import RECIPES as RECIPES
    from filopodia.prune.recipes import recipe as recipe
    from filopodia.prune.schedule import Schedule as Schedule
    from filopodia.prune.stds import STDS as STDS
    from filopodia.prune.telemetry import Epoch as Epoch
    from filopodia.prune.theta import SpineSize as SpineSize
    from filopodia.prune.theta import spine_size as spine_size
    from filopodia.prune.theta import spine_weight as spine_weight
    from filopodia.prune.trainer import train as train

_HOMES = {
    "ann": ("AnnScores", "ann_of", "layer_sparsities", "train_anns"),
    "checkpoint": ("load_model",),
    "config": ("DataConfig", "NetConfig", "PruneConfig", "TrainConfig"),
    "cost": ("CostSTDS",),
    "data": ("DataSet", "Samples", "load_data"),
    "encoding": ("encode",),
    "evaluation": ("Evaluation", "evaluate", "readout"),
    "hold": ("hold_zeros",),
    "methods": ("make_pruner",),
    "nets": ("build_net",),
    "pruner": ("Pruner",),
    "recipes": ("RECIPES", "recipe"),
    "schedule": ("Schedule",),
    "stds": ("STDS",),
    "theta": ("SpineSize", "spine_size", "spine_weight"),
    "telemetry": ("Epoch",),
    "trainer": ("train",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
