"""The trainer: a generator that trains one network and yields after every epoch. It prints nothing.

Whatever is random is drawn from (seed, epoch) or (seed, step), so a run resumed from a checkpoint draws what the
uninterrupted run would have drawn, and every process of a distributed run draws the same.
"""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from filopodia.errors import FileError
from filopodia.files import written_whole
from filopodia.prune import finetune
from filopodia.prune.checkpoint import load_checkpoint, load_tensors, save_checkpoint, save_tensors, save_weights
from filopodia.prune.config import TrainConfig
from filopodia.prune.cost import CostSTDS
from filopodia.prune.data import DataSet, load_data
from filopodia.prune.evaluation import Evaluation, evaluate
from filopodia.prune.given import checked_config, checked_data
from filopodia.prune.loop import Run, one_pass, open_run, steer, steering
from filopodia.prune.quantized import check_quantizable, input_of
from filopodia.prune.stds import STDS
from filopodia.prune.synops import SynopMeter
from filopodia.prune.telemetry import Census, Epoch, record, synapse_sparsity, to_tensorboard, totals

WEIGHTS, CHECKPOINT, BEST, TELEMETRY = "weights.safetensors", "checkpoint.safetensors", "best.safetensors", "telemetry.jsonl"

LANDING = 4000  # training samples that a SynOps target is measured on: with 500 they alone are 1 or 2 % off


@dataclass
class _Best:
    """The state to keep at the end: the most accurate on the held-out samples among the epochs at the target sparsity."""

    epoch: int = 0
    accuracy: float = -1.0
    tensors: dict[str, Tensor] = field(default_factory=dict)


def train(
    config: TrainConfig, run_folder: str | Path | None = None, *, data: DataSet | None = None, resume: bool = False
) -> Generator[Epoch, None, nn.Module]:
    """Train, yield an `Epoch` after each pass, return the finalized network (plain modules, exact zeros, eval mode).

    With `quantize_epochs`, that network is trained on in fixed point and returned so (`quantize_aware`).
    With a `run_folder`: a line of `telemetry.jsonl` and `checkpoint.safetensors` after every epoch, `weights.safetensors` at
    the end. `resume=True` goes on from the checkpoint there, if there is one; FileError if it is of another configuration.
    ConfigError and InputError for a configuration or data that cannot be; FileError where the folder cannot be written.
    TrainingError when the loss or its gradient is not a number; the last checkpoint stays. Under `torchrun` the processes
    share every batch and process 0 writes.
    """
    config = checked_config(config)
    run = open_run(config, load_data(config.data) if data is None else checked_data(data, config))
    folder = None if run_folder is None else Path(run_folder)
    writes = folder is not None and run.world.rank == 0
    if config.quantize_epochs:
        check_quantizable(run.net, *input_of(config, run.device))
    best = _Best()
    done = _open_folder(folder, run, best, resume) if folder else 0
    census = Census(run.pruner.weights if run.pruner else ())
    for epoch in range(done + 1, config.epochs + 1):
        event, tested = _one_epoch(run, census, epoch)
        if run.validation is not None and (run.pruner is None or run.pruner.frozen):
            accuracy = evaluate(run.net, run.validation, config.data, run.classes).accuracy
            if accuracy >= best.accuracy:
                tensors = {name: tensor.clone() for name, tensor in run.net.state_dict().items()}
                best.epoch, best.accuracy, best.tensors = epoch, accuracy, tensors
                if folder and writes:
                    save_tensors(tensors, {"epoch": epoch, "accuracy": accuracy}, folder / BEST, "best")
        if folder and writes:
            _save_epoch(folder, run, event, tested)
        yield event
    if best.tensors:
        run.net.load_state_dict(best.tensors)
    if isinstance(run.pruner, CostSTDS):
        run.pruner.land(lambda: _counts(run))
    pruned = [weight.module for weight in run.pruner.weights] if run.pruner else []
    if run.pruner is not None:
        run.pruner.finalize()
    if config.quantize_epochs:
        yield from _finetune(run, folder, pruned, resume and done == config.epochs)
    if folder and writes:
        tested = evaluate(run.net, run.test, config.data, run.classes)
        kept = config.epochs + config.quantize_epochs if config.quantize_epochs or not best.epoch else best.epoch
        about = {"config": _plain(config), "epoch": kept, **totals(tested)}
        save_weights(run.net, folder / WEIGHTS, about)
    return run.net.eval()


def _finetune(run: Run, folder: Path | None, pruned: Sequence[nn.Module], resume: bool) -> Iterator[Epoch]:
    """The epochs in fixed point. `pruned`: the layers whose zeros count as sparsity."""
    whole, first = _plain(run.config), run.config.epochs
    part, quantized = finetune.finetuning(run)
    done = finetune.epochs_saved(folder, whole) if folder and resume else 0
    if folder and done:
        finetune.resume(folder, part, whole)
    for epoch in range(done + 1, part.config.epochs + 1):
        event, tested = _one_epoch(part, Census(()), epoch)
        told = {"epoch": first + epoch, "epochs": first + part.config.epochs, "sparsity": _zeros(pruned), "frozen": True}
        event = replace(event, **told)  # type: ignore[arg-type]
        if folder and run.world.rank == 0:
            _tell(folder, part, event, tested)
            finetune.save(folder, part, whole, epoch)
        yield event
    quantized.finalize()


def _zeros(layers: Sequence[nn.Module]) -> float:
    """Zero weights over all weights."""
    weights = [torch.as_tensor(layer.weight) for layer in layers]
    return sum(int((weight == 0).sum()) for weight in weights) / max(sum(weight.numel() for weight in weights), 1)


def _counts(run: Run) -> dict[str, Tensor]:
    """Spikes per training sample that arrive at each layer, as the finished network will run."""
    some = run.learned.part(slice(LANDING))
    with SynopMeter(run.net) as meter:
        evaluate(run.net, some, run.config.data, run.classes)
    return meter.counts()


def _one_epoch(run: Run, census: Census, epoch: int) -> tuple[Epoch, Evaluation]:
    """Train one epoch and measure what came of it."""
    began = time.perf_counter()
    loss, train_accuracy = one_pass(run, epoch)
    tested = evaluate(run.net, run.test, run.config.data, run.classes)
    event = Epoch(
        epoch=epoch,
        epochs=run.config.epochs + run.config.quantize_epochs,
        loss=loss,
        train_accuracy=train_accuracy,
        test_accuracy=tested.accuracy,
        sparsity=run.pruner.sparsity() if run.pruner else 0.0,
        synapse_sparsity=synapse_sparsity(tested),
        threshold=max(run.pruner.d) if isinstance(run.pruner, STDS) else 0.0,
        strength=run.pruner.strength if isinstance(run.pruner, STDS) else 0.0,
        frozen=run.pruner.frozen if run.pruner else False,
        firing_rates=tested.firing_rates,
        dead_neurons=tested.dead_neurons,
        synops=sum(cost.synops for cost in tested.costs.values()),
        dense_synops=sum(cost.dense_synops for cost in tested.costs.values()),
        spines=census.take(),
        seconds=time.perf_counter() - began,
    )
    return event, tested


def _open_folder(folder: Path, run: Run, best: _Best, resume: bool) -> int:
    """Make the folder ready and return how many epochs are done: 0, or what a checkpoint of this configuration says."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot be a run folder ({error.strerror})", where=str(folder), fix="give another place") from None
    lines, done = folder / TELEMETRY, 0
    if resume and (folder / CHECKPOINT).exists():
        about = load_checkpoint(folder / CHECKPOINT, run.net, run.optimizer, run.pruner, _plain(run.config))
        steer(run, about)
        done = int(about["epoch"])
        if (folder / BEST).exists():
            best.tensors, header = load_tensors(folder / BEST, "best")
            best.epoch, best.accuracy = header["epoch"], header["accuracy"]
    if run.world.rank == 0:
        told = done + (finetune.epochs_saved(folder, _plain(run.config)) if done == run.config.epochs else 0)
        kept = lines.read_bytes().splitlines(keepends=True)[:told] if lines.exists() else []
        with written_whole(lines) as beside:
            beside.write_bytes(b"".join(kept))
    return done


def _save_epoch(folder: Path, run: Run, event: Epoch, tested: Evaluation) -> None:
    # The line first: after a kill in between, the epoch is run again and resuming drops its old line.
    _tell(folder, run, event, tested)
    about = {"config": _plain(run.config), "epoch": event.epoch, **steering(run)}
    save_checkpoint(folder / CHECKPOINT, run.net, run.optimizer, run.pruner, about)


def _tell(folder: Path, run: Run, event: Epoch, tested: Evaluation) -> None:
    """A line of telemetry.jsonl, and TensorBoard's if asked for."""
    told = record(event, tested, run.net, run.config.data.steps)
    try:
        with (folder / TELEMETRY).open("a") as lines:
            lines.write(json.dumps(told) + "\n")
    except OSError as error:
        raise FileError(f"cannot be written ({error.strerror})", where=str(folder / TELEMETRY), fix="make room") from error
    if run.config.tensorboard:
        to_tensorboard(told, folder)


def _plain(config: TrainConfig) -> dict[str, Any]:
    """The configuration as JSON would give it back."""
    plain: dict[str, Any] = json.loads(msgspec.json.encode(config))
    return plain
