"""The chain in order, and the dense twin's shorter one."""

from __future__ import annotations

import msgspec

from filopodia.config import Config
from filopodia.stage import Stage
from filopodia.stages.ann import ANN
from filopodia.stages.compile import COMPILE
from filopodia.stages.estimate import ESTIMATE
from filopodia.stages.export import EXPORT
from filopodia.stages.lava import LAVA
from filopodia.stages.report import REPORT
from filopodia.stages.simulate import SIMULATE
from filopodia.stages.train import TRAIN
from filopodia.stages.verify import VERIFY

TO_ACTIVITY: tuple[Stage, ...] = (TRAIN, EXPORT, COMPILE, SIMULATE)
TO_REPORT: tuple[Stage, ...] = (LAVA, VERIFY, ANN, ESTIMATE, REPORT)


def twin_of(config: Config) -> Config:
    """The dense twin's configuration: the same recipe, seed and chip, and nothing pruned."""
    prune = msgspec.structs.replace(config.train.prune, method="dense")
    return msgspec.structs.replace(
        config,
        name=f"{config.name}, dense twin",
        train=msgspec.structs.replace(config.train, prune=prune),
        export=msgspec.structs.replace(config.export, onnx=False),
        estimate=msgspec.structs.replace(config.estimate, twin="none"),
    )


def wants_twin(config: Config) -> bool:
    """Whether there is a dense twin to compare with: asked for, and the run itself is not dense."""
    return config.estimate.twin == "dense" and config.train.prune.method != "dense"
