"""Configuration to weights.safetensors and telemetry.jsonl. Killed in the middle, it goes on from its last epoch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from filopodia.config import Config
from filopodia.report.wording import percent
from filopodia.run import RunFolder
from filopodia.stage import Progress, Stage, plain

CHECKPOINT, QUANTIZED = "checkpoint.safetensors", "quantized.safetensors"


def train(folder: RunFolder, config: Config, progress: Progress | None) -> str:
    from filopodia import prune

    resume = checkpoint_is_of(folder / CHECKPOINT, config)
    epoch = None
    for epoch in prune.train(config.train, folder.path, resume=resume):
        if progress is not None:
            sparse = f", {percent(epoch.sparsity)} sparse" if epoch.sparsity else ""
            progress(f"epoch {epoch.epoch}: {percent(epoch.test_accuracy)} right{sparse}", epoch.epoch, epoch.epochs)
    last = json.loads((folder / "telemetry.jsonl").read_text().splitlines()[-1])
    sparse = f", {percent(last['sparsity'])} of the weights zero" if last["sparsity"] else ", all weights"
    right = header_of(folder / "weights.safetensors")["test_accuracy"]
    return f"{percent(right, 2)} right{sparse}, {last['epochs']} epochs"


def checkpoint_is_of(path: Path, config: Config) -> bool:
    """Whether there is a checkpoint of exactly this training run to go on from."""
    return header_of(path).get("config") == plain(config.train)


def header_of(path: Path) -> dict[str, Any]:
    """What a safetensors file of ours says about itself; {} for a missing, damaged or foreign one."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            header: dict[str, Any] = json.loads((file.metadata() or {}).get("filopodia", "{}"))
    except (SafetensorError, OSError, ValueError):
        return {}
    return header


TRAIN = Stage(
    "train",
    reads=(),
    writes=("weights.safetensors", "telemetry.jsonl"),
    settings=lambda config: config.train,
    work=train,
    discards=(CHECKPOINT, QUANTIZED),
)
