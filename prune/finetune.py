"""The second part of a run with `quantize_epochs`: the sparse network goes on training in fixed point."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
from torch.amp.grad_scaler import GradScaler

from filopodia.prune.checkpoint import load_checkpoint, load_tensors, save_checkpoint
from filopodia.prune.loop import Run, make_optimizer, steer, steering
from filopodia.prune.quantized import Quantized, input_of, quantize_aware

CHECKPOINT = "quantized.safetensors"
SLOWER = 0.1
"""The learning rate starts at this share of the first part's."""


def finetuning(run: Run) -> tuple[Run, Quantized]:
    """The run of the second part: `run`'s finalized network in fixed point, with an optimizer and epochs of its own."""
    config = msgspec.structs.replace(
        run.config, epochs=run.config.quantize_epochs, learning_rate=run.config.learning_rate * SLOWER
    )
    sample, step = input_of(config, run.device)
    quantized = quantize_aware(run.net, sample, input_step=step)
    parts = replace(
        run,
        config=config,
        wrapped=run.world.wrap(run.net),
        optimizer=make_optimizer(run.net, config),
        pruner=None,
        scaler=GradScaler(run.device.type, enabled=config.precision == "fp16"),
    )
    return parts, quantized


def epochs_saved(folder: Path, config: dict[str, Any]) -> int:
    """How many epochs of the second part the folder's checkpoint holds; 0 where there is none of this configuration."""
    if not (folder / CHECKPOINT).exists():
        return 0
    _, about = load_tensors(folder / CHECKPOINT, "checkpoint")
    return int(about["epoch"]) if about["config"] == config else 0


def resume(folder: Path, run: Run, config: dict[str, Any]) -> None:
    """Take back the network and the optimizer of the second part."""
    about = load_checkpoint(folder / CHECKPOINT, run.net, run.optimizer, None, config)
    steer(run, about)


def save(folder: Path, run: Run, config: dict[str, Any], epoch: int) -> None:
    """Write the second part's checkpoint after its epoch 1, 2, …"""
    about = {"config": config, "epoch": epoch, **steering(run)}
    save_checkpoint(folder / CHECKPOINT, run.net, run.optimizer, None, about)
