"""The trainer: a generator that trains one network and yields after every epoch. It prints nothing.

Whatever is random is drawn from (seed, epoch) or (seed, step), so a run resumed from a checkpoint draws what the
uninterrupted run would have drawn.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from spikingjelly.activation_based import functional
from torch import Tensor, nn
from torch.optim import Optimizer

from filopodia.errors import TrainingError
from filopodia.prune.checkpoint import load_checkpoint, save_checkpoint, save_weights
from filopodia.prune.config import TrainConfig
from filopodia.prune.data import DataSet, encode, info, load_data, shift
from filopodia.prune.evaluation import FiringMeter, evaluate, readout
from filopodia.prune.nets import build_net
from filopodia.prune.pruner import Pruner
from filopodia.prune.stds import STDS

WEIGHTS, CHECKPOINT, TELEMETRY = "weights.safetensors", "checkpoint.safetensors", "telemetry.jsonl"


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training samples came to.

    `sparsity`: zero weights over all pruned weights; `threshold`: d; `strength`: λ = d/Σlr; `firing_rates`: spikes per
    neuron and step of each spiking layer over the test samples; `seconds`: of this epoch, evaluation included.
    """

    epoch: int
    epochs: int
    loss: float
    train_accuracy: float
    test_accuracy: float
    sparsity: float
    threshold: float
    strength: float
    frozen: bool
    firing_rates: dict[str, float]
    seconds: float


def train(
    config: TrainConfig, run_folder: str | Path | None = None, *, data: DataSet | None = None, resume: bool = False
) -> Generator[Epoch, None, nn.Module]:
    """Train, yield an `Epoch` after each pass, return the finalized network (plain modules, exact zeros, eval mode).

    With a `run_folder`: a line of `telemetry.jsonl` and `checkpoint.safetensors` after every epoch, `weights.safetensors` at
    the end. `resume=True` goes on from the checkpoint there, if there is one; FileError if it is of another configuration.
    TrainingError when the loss is not a number; the last checkpoint stays.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    data = load_data(config.data) if data is None else data
    classes = info(config.data.name).classes
    torch.manual_seed(config.seed)
    net = build_net(config)
    per_epoch = math.ceil(len(data.train) / config.batch_size)
    total = per_epoch * config.epochs
    optimizer = make_optimizer(net, config)
    pruner = make_pruner(net, optimizer, config, total)
    folder = None if run_folder is None else Path(run_folder)
    done = _open_folder(folder, net, optimizer, pruner, config, resume) if folder else 0
    for epoch in range(done + 1, config.epochs + 1):
        began = time.perf_counter()
        loss, train_accuracy = _pass(net, data, optimizer, pruner, config, epoch, classes)
        tested = evaluate(net, data.test, config.data, classes)
        event = Epoch(
            epoch=epoch,
            epochs=config.epochs,
            loss=loss,
            train_accuracy=train_accuracy,
            test_accuracy=tested.accuracy,
            sparsity=pruner.sparsity() if pruner else 0.0,
            threshold=max(pruner.d) if isinstance(pruner, STDS) else 0.0,
            strength=pruner.strength if isinstance(pruner, STDS) else 0.0,
            frozen=pruner.frozen if pruner else False,
            firing_rates=tested.firing_rates,
            seconds=time.perf_counter() - began,
        )
        if folder:
            # The line first: after a kill in between, the epoch is run again and its line is replaced on resuming.
            with (folder / TELEMETRY).open("a") as lines:
                lines.write(json.dumps(asdict(event)) + "\n")
            save_checkpoint(folder / CHECKPOINT, net, optimizer, pruner, {"config": _plain(config), "epoch": epoch})
        yield event
    if pruner is not None:
        pruner.finalize()
    if folder:
        tested = evaluate(net, data.test, config.data, classes)
        about = {"config": _plain(config), "epoch": config.epochs, "test_accuracy": tested.accuracy}
        save_weights(net, folder / WEIGHTS, about)
    return net.eval()


def make_optimizer(net: nn.Module, config: TrainConfig) -> Optimizer:
    """AdamW; decay falls on weight matrices and kernels only."""
    decayed = [parameter for parameter in net.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in net.parameters() if parameter.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate)


def make_pruner(net: nn.Module, optimizer: Optimizer, config: TrainConfig, total_steps: int) -> Pruner | None:
    """The pruner of a run, attached; None for a dense one."""
    prune = config.prune
    if prune.method == "dense":
        return None
    return STDS(
        net,
        optimizer=optimizer,
        total_steps=total_steps,
        target_sparsity=prune.target_sparsity,
        schedule=prune.schedule,
        start=prune.start,
        end=prune.end,
        freeze=prune.freeze,
        dense=prune.dense,
    )


def learning_rate(config: TrainConfig, progress: float) -> float:
    """The learning rate at `progress`, the share of all optimizer steps taken."""
    if config.lr_schedule == "constant":
        return config.learning_rate
    return config.learning_rate * (1.0 + math.cos(math.pi * progress)) / 2.0


def loss_of(rates: Tensor, labels: Tensor, config: TrainConfig) -> Tensor:
    """The loss of class firing rates [N, classes]."""
    if config.loss == "mse":
        return nn.functional.mse_loss(rates, nn.functional.one_hot(labels, rates.shape[1]).to(rates.dtype))
    return nn.functional.cross_entropy(rates * 10.0, labels)


def _pass(
    net: nn.Module, data: DataSet, optimizer: Optimizer, pruner: Pruner | None, config: TrainConfig, epoch: int, classes: int
) -> tuple[float, float]:
    """One epoch of optimizer steps; mean loss and accuracy on the training samples as they came."""
    net.train()
    order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(_mixed(config.seed, 0, epoch)))
    batches = order.split(config.batch_size)
    first, total = (epoch - 1) * len(batches), config.epochs * len(batches)
    loss_sum, right = 0.0, 0
    with FiringMeter(net) as meter:
        for step, batch in enumerate(batches, first):
            torch.manual_seed(_mixed(config.seed, 1, step))
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(config, step / total)
            images = shift(data.train.images[batch], config.data.shift, torch.default_generator)
            labels = data.train.labels[batch]
            rates = readout(net(encode(images, config.data.steps, config.data.encoding).float()), classes)
            loss = loss_of(rates, labels, config)
            objective = loss + config.rate_penalty * meter.hidden() if config.rate_penalty else loss
            functional.reset_net(net)
            optimizer.zero_grad()
            objective.backward()
            _check(net, objective, f"epoch {epoch}, optimizer step {step + 1}")
            optimizer.step()
            if pruner is not None:
                pruner.step()
            loss_sum += float(loss.detach()) * len(batch)
            right += int((rates.argmax(1) == labels).sum())
    return loss_sum / len(order), right / len(order)


def _check(net: nn.Module, objective: Tensor, where: str) -> None:
    """Stop before a number that is none reaches the weights."""
    # Spikes are 0 or 1 even after an overflow, so the loss can look sound when the gradient no longer is.
    size = torch.nn.utils.get_total_norm([p.grad for p in net.parameters() if p.grad is not None])
    for what, value in (("loss", objective.detach()), ("gradient's size", size)):
        if not torch.isfinite(value):
            raise TrainingError(
                f"the {what} is {float(value)}",
                where=where,
                fix="look for values that are no numbers in the data, lower the learning rate; the last checkpoint is intact",
            )


def _open_folder(
    folder: Path, net: nn.Module, optimizer: Optimizer, pruner: Pruner | None, config: TrainConfig, resume: bool
) -> int:
    """Make the folder ready and return how many epochs are done; 0 unless resuming from a checkpoint of this configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    lines, path, done = folder / TELEMETRY, folder / CHECKPOINT, 0
    if resume and path.exists():
        done = int(load_checkpoint(path, net, optimizer, pruner, _plain(config))["epoch"])
    kept = lines.read_text().splitlines(keepends=True)[:done] if lines.exists() else []
    lines.write_text("".join(kept))
    return done


def _plain(config: TrainConfig) -> dict[str, Any]:
    """The configuration as JSON would give it back."""
    plain: dict[str, Any] = json.loads(msgspec.json.encode(config))
    return plain


def _mixed(seed: int, stream: int, index: int) -> int:
    """A seed of its own for each (run, purpose, step)."""
    return ((seed * 2 + stream) * 2_654_435_761 + index) % (1 << 63)
