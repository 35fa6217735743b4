"""weights.safetensors to model.nir, model.onnx and golden.npz: the last stage in which torch exists."""

from __future__ import annotations

from filopodia.config import Config
from filopodia.run import RunFolder
from filopodia.stage import Progress, Stage


def export(folder: RunFolder, config: Config, progress: Progress | None) -> str:
    raise SystemExit("later")


EXPORT = Stage(
    "export",
    reads=("weights.safetensors",),
    writes=("model.nir", "golden.npz", "model.onnx"),
    settings=lambda config: {"train": config.train, "export": config.export},
    work=export,
)
