"""What a run is made of, and one pass over its training samples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from spikingjelly.activation_based import functional
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from filopodia.errors import ConfigError, TrainingError
from filopodia.prune.budget import SynopBudget
from filopodia.prune.config import TrainConfig
from filopodia.prune.data import DataSet, Samples, info
from filopodia.prune.distributed import World, world
from filopodia.prune.encoding import encode, flip, shift
from filopodia.prune.evaluation import FiringMeter, readout
from filopodia.prune.fused import FusedNeurons
from filopodia.prune.methods import make_pruner
from filopodia.prune.nets import build_net
from filopodia.prune.pruner import Pruner
from filopodia.prune.repeated import RepeatedInput
from filopodia.prune.schedule import Schedule
from filopodia.prune.synops import SynopPenalty

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, eq=False)
class Run:
    """The parts of one training run on this process. `wrapped` is `net` itself, or `net` with its gradients shared."""

    config: TrainConfig
    classes: int
    learned: Samples
    validation: Samples | None
    test: Samples
    net: nn.Module
    wrapped: nn.Module
    optimizer: Optimizer
    pruner: Pruner | None
    budget: SynopBudget | None
    scaler: GradScaler
    device: torch.device
    world: World


def open_run(config: TrainConfig, data: DataSet) -> Run:
    """Fresh parts from a configuration; the same on every process."""
    if config.threads:
        torch.set_num_threads(config.threads)
    place = world()
    device = pick_device(config.device, place)
    learned, validation = hold_out(data.train, config)
    torch.manual_seed(config.seed)
    net = build_net(config).to(device)
    optimizer = make_optimizer(net, config)
    total_steps = math.ceil(len(learned) / config.batch_size) * config.epochs
    pruner, budget = make_pruner(net, optimizer, config, total_steps), make_budget(config, total_steps)
    if place.size > 1 and device.type == "cuda":
        net = nn.SyncBatchNorm.convert_sync_batchnorm(net)
    scaler = GradScaler(device.type, enabled=config.precision == "fp16")
    classes = info(config.data.name).classes
    return Run(
        config, classes, learned, validation, data.test, net, place.wrap(net), optimizer, pruner, budget, scaler, device, place
    )


def steering(run: Run) -> dict[str, Any]:
    """What a checkpoint must hold beside network, optimizer and pruner."""
    return {"scaler": run.scaler.state_dict(), "budget": run.budget and run.budget.state_dict()}


def steer(run: Run, state: Mapping[str, Any]) -> None:
    """Take it back."""
    run.scaler.load_state_dict(state["scaler"])
    if run.budget is not None:
        run.budget.load_state_dict(state["budget"])


def pick_device(name: str, place: World) -> torch.device:
    """The device of this process; ConfigError if a GPU is asked for and there is none."""
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ConfigError("no GPU that torch can use", where="device", allowed="auto, cpu", fix='set device = "cpu"')
    return torch.device("cuda", place.rank % torch.cuda.device_count())


def hold_out(samples: Samples, config: TrainConfig) -> tuple[Samples, Samples | None]:
    """The samples to train on and those held out to choose by, drawn once from the seed."""
    if config.data.train_samples:
        samples = samples.part(slice(config.data.train_samples))
    count = round(config.validation * len(samples))
    if not count:
        return samples, None
    order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(mixed(config.seed, 2, 0)))
    held, kept = order[:count], order[count:]
    return samples.part(kept), samples.part(held)


def make_optimizer(net: nn.Module, config: TrainConfig) -> Optimizer:
    """The optimizer; decay falls on weight matrices and kernels only."""
    decayed = [parameter for parameter in net.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in net.parameters() if parameter.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=0.9)
    return torch.optim.AdamW(groups, lr=config.learning_rate)


def make_budget(config: TrainConfig, total_steps: int) -> SynopBudget | None:
    """What keeps the budget of synops, if there is one; ConfigError if something else is to steer the same."""
    if not config.synop_budget:
        return None
    for where, given in (("synop_penalty", config.synop_penalty), ("target_synops", config.prune.target_synops)):
        if given:
            raise ConfigError(
                f"both {where} and synop_budget given", where=where, allowed="one of them", fix=f"leave {where} 0"
            )
    start, end = round(config.prune.start * total_steps), round(config.prune.end * total_steps)
    return SynopBudget(config.synop_budget, Schedule(config.prune.schedule, start, max(end, start + 1)), total_steps)


def learning_rate(config: TrainConfig, progress: float) -> float:
    """The learning rate at `progress`, the share of all optimizer steps taken."""
    if config.lr_schedule == "constant":
        return config.learning_rate
    return config.learning_rate * (1.0 + math.cos(math.pi * progress)) / 2.0


def loss_of(rates: Tensor, labels: Tensor, config: TrainConfig) -> Tensor:
    """The loss of class firing rates [N, classes], averaged over the samples."""
    if config.loss == "mse":
        hot = nn.functional.one_hot(labels, rates.shape[1]).to(rates.dtype)
        return nn.functional.mse_loss(rates, torch.lerp(hot, torch.full_like(hot, 1 / hot.shape[1]), config.label_smoothing))
    return nn.functional.cross_entropy(rates * config.logit_scale, labels, label_smoothing=config.label_smoothing)


def one_pass(run: Run, epoch: int) -> tuple[float, float]:
    """The optimizer steps of epoch 1, 2, …; mean loss and accuracy on the training samples as they came."""
    config, run_batches = run.config, batches(run, epoch)
    run.wrapped.train()
    first, total = (epoch - 1) * len(run_batches), config.epochs * len(run_batches)
    sums = torch.zeros(3, dtype=torch.float64)
    for step, batch in enumerate(run_batches, first):
        for group in run.optimizer.param_groups:
            group["lr"] = learning_rate(config, step / total)
        torch.manual_seed(mixed(config.seed, 1, step))
        images = shift(run.learned.images[batch], config.data.shift, torch.default_generator)
        images = flip(images, torch.default_generator) if config.data.flip else images
        labels = run.learned.labels[batch]
        run.optimizer.zero_grad()
        found = torch.tensor(_gradients(run, images, labels, f"epoch {epoch}, optimizer step {step + 1}"), dtype=torch.float64)
        sums += found
        run.scaler.step(run.optimizer)
        run.scaler.update()
        if run.pruner is not None:
            run.pruner.step()
        if run.budget is not None:
            run.budget.spend(float(run.world.total(found[2], run.device)) / len(labels))
    loss, right, _ = run.world.total(sums, run.device).tolist()
    return loss / len(run.learned), right / len(run.learned)


def batches(run: Run, epoch: int) -> tuple[Tensor, ...]:
    """The sample numbers of each optimizer step of an epoch, in the epoch's own order."""
    generator = torch.Generator().manual_seed(mixed(run.config.seed, 0, epoch))
    order = torch.randperm(len(run.learned), generator=generator)
    return tuple(torch.split(order, run.config.batch_size))


def _gradients(run: Run, images: Tensor, labels: Tensor, where: str) -> tuple[float, float, float]:
    """Leave the gradient of one whole batch; summed loss, right answers and (under a budget) synops of this process's share."""
    config = run.config
    loss_sum, right, spent = 0.0, 0.0, 0.0
    penalty = config.synop_penalty if run.budget is None else run.budget.strength
    parts = zip(
        run.world.share(images).tensor_split(config.accumulate),
        run.world.share(labels).tensor_split(config.accumulate),
        strict=True,
    )
    repeats = config.data.encoding == "direct" and config.data.steps > 1
    repeated = RepeatedInput(run.net) if repeats else nullcontext()
    firing = FiringMeter(run.net) if config.rate_penalty else nullcontext()
    working = SynopPenalty(run.net) if penalty else nullcontext()
    with firing as meter, working as synops, repeated, FusedNeurons(run.net):  # repeated last, so that synops sees all steps
        for some, wanted in parts:
            if not len(wanted):
                continue
            spikes = encode(some.to(run.device), config.data.steps, config.data.encoding).float()
            wanted = wanted.to(run.device)
            with torch.autocast(run.device.type, DTYPES[config.precision], enabled=config.precision != "fp32"):
                rates = readout(run.wrapped(spikes), run.classes).float()
            loss = loss_of(rates, wanted, config)
            objective = loss if meter is None else loss + config.rate_penalty * meter.hidden()
            objective = objective if synops is None else objective + penalty * synops.share()
            functional.reset_net(run.net)
            # Averages of parts weigh by their samples; DistributedDataParallel divides by the processes.
            run.scaler.scale(objective * (len(wanted) * run.world.size / len(labels))).backward()
            _check("loss", objective.detach(), where)
            loss_sum += float(loss.detach()) * len(wanted)
            right += float((rates.argmax(1) == wanted).sum())
            spent += 0.0 if run.budget is None or synops is None else synops.spent()
    if not run.scaler.is_enabled():  # a scaler meets infinite gradients by itself and skips the step
        # Spikes are 0 or 1 even after an overflow, so the loss can look sound when the gradient no longer is.
        size = torch.nn.utils.get_total_norm([p.grad for p in run.net.parameters() if p.grad is not None])
        _check("gradient's size", size, where)
    return loss_sum, right, spent


def _check(what: str, value: Tensor, where: str) -> None:
    """Stop before a number that is none reaches the weights."""
    if not torch.isfinite(value):
        raise TrainingError(
            f"the {what} is {float(value)}",
            where=where,
            fix="look for values that are no numbers in the data, lower the learning rate; the last checkpoint is intact",
        )


def mixed(seed: int, stream: int, index: int) -> int:
    """A seed of its own for each (run, purpose, step)."""
    return int(np.random.SeedSequence((seed, stream, index)).generate_state(1, np.uint64)[0] >> np.uint64(1))
