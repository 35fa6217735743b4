"""Configuration to weights.safetensors and telemetry.jsonl. Killed in the middle, it goes on from its last epoch."""

from __future__ import annotations

import json
from pathlib import Path

from filopodia.config import Config
from filopodia.report.wording import percent
from filopodia.run import RunFolder
from filopodia.stage import Progress, Stage, plain

CHECKPOINT = "checkpoint.safetensors"


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
    return f"{percent(last['test_accuracy'], 2)} right{sparse}, {last['epochs']} epochs"


def checkpoint_is_of(path: Path, config: Config) -> bool:
    """Whether there is a checkpoint of exactly this training run to go on from."""
    if not path.is_file():
        return False
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            header = json.loads((file.metadata() or {}).get("filopodia", "{}"))
    except (SafetensorError, OSError, ValueError):
        return False
    return bool(header.get("config") == plain(config.train))


TRAIN = Stage(
    "train",
    reads=(),
    writes=("weights.safetensors", "telemetry.jsonl"),
    settings=lambda config: config.train,
    work=train,
    discards=(CHECKPOINT,),
)
