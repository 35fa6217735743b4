"""Is the deployed network the trained one? MNIST (10 000 test images) and N-MNIST, before and after fine-tuning in fixed point.

    FILOPODIA_DATA=... python benchmarks/deploy_mnist.py NET [--lava 300] [--save]

NET is mlp (784-256-10), csnn (two convolutions, average pooling, two linear layers) or nmnist (the same on event-camera
recordings: 1000 to train on, 100 to test on). Each is trained 90 % sparse with STDS, then deployed twice: compiled after
training, with 128 training samples as calibration and no labels; and fine-tuned with `prune.quantize_aware` first. Torch and
the integer simulator run all test samples; real Lava runs some of them beside the simulator.
Targets: post-training within 0.5 points of torch; fine-tuned within 0.1 points, and 99.9 % of the hidden spikes identical.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import prune_common
import torch
from spikingjelly.activation_based import functional
from torch import nn

from filopodia import export, hardware, prune
from filopodia.hardware.program import Program
from filopodia.prune import DataConfig, DataSet, NetConfig, Samples, TrainConfig, encode, readout
from filopodia.prune.loop import learning_rate, loss_of

CHUNK = 500
CALIBRATION = 128
MNIST = DataConfig(name="mnist", steps=6, shift=0)
CSNN = NetConfig(channels=(8, 16), pool=(2, 2), hidden=(64,), votes=1)
MLP = NetConfig(channels=(), pool=(), hidden=(256,), batch_norm="none", votes=1)


@dataclass(frozen=True)
class Recipe:
    """A network, and how many epochs it is fine-tuned for."""

    config: TrainConfig
    tuned: int


RECIPES = {
    "mlp": Recipe(TrainConfig(data=MNIST, net=MLP, epochs=4, batch_size=128, rate_penalty=0.0), 2),
    "csnn": Recipe(TrainConfig(data=MNIST, net=CSNN, epochs=2, batch_size=128, rate_penalty=0.0), 1),
    "nmnist": Recipe(
        TrainConfig(data=DataConfig(name="nmnist", encoding="frames", steps=8), net=CSNN, epochs=30, batch_size=32), 10
    ),
}


@dataclass
class Agreement:
    """Torch and another run beside each other: right answers, and per layer spikes of either, of both, and all places."""

    right: Counter[str] = field(default_factory=Counter)
    either: Counter[str] = field(default_factory=Counter)
    both: Counter[str] = field(default_factory=Counter)
    differ: Counter[str] = field(default_factory=Counter)
    places: Counter[str] = field(default_factory=Counter)


def chunks(samples: Samples, data: DataConfig) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Spikes [T, N, ...] float32 and labels, some samples at a time."""
    for images, labels in zip(samples.images.split(CHUNK), samples.labels.split(CHUNK), strict=True):
        yield encode(images, data.steps, data.encoding).float(), labels


def fine_tune(model: nn.Module, recipe: Recipe, data: DataSet) -> None:
    """Go on training in fixed point, as `quantize_epochs` of a configuration does."""
    config = msgspec.structs.replace(recipe.config, learning_rate=0.1 * recipe.config.learning_rate)
    quantized = prune.quantize_aware(model, torch.zeros(1, 1, *prune.data.info(config.data.name).shape))
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=0.0)
    batches = -(-len(data.train) // config.batch_size)
    model.train()
    for step in range(recipe.tuned * batches):
        if step % batches == 0:
            order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(step))
        chosen = order[step % batches * config.batch_size :][: config.batch_size]
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, step / (recipe.tuned * batches))
        spikes = encode(data.train.images[chosen], config.data.steps, config.data.encoding).float()
        optimizer.zero_grad()
        loss_of(readout(model(spikes), 10), data.train.labels[chosen], config).backward()
        optimizer.step()
        functional.reset_net(model)
    quantized.finalize().eval()


def compiled(model: nn.Module, recipe: Recipe, data: DataSet) -> Program:
    """The network on Loihi 2, calibrated on training samples without their labels."""
    seen, _ = next(chunks(data.train, recipe.config.data))
    graph = export.to_nir(model, seen[:, :1])
    return hardware.compile(hardware.load(graph), calibration=seen[:, :CALIBRATION].numpy())


def agreement(model: nn.Module, program: Program, recipe: Recipe, data: DataSet) -> Agreement:
    """Torch and integers on the whole test set."""
    found = Agreement()
    for spikes, labels in chunks(data.test, recipe.config.data):
        golden = export.golden(model, spikes, batch=CHUNK)
        ran = hardware.simulate(program, spikes.numpy().astype(bool))
        for name, expected in golden.spikes.items():
            a, b = expected.astype(bool), ran.spikes[name]
            found.either[name] += int((a | b).sum())
            found.both[name] += int((a & b).sum())
            found.differ[name] += int((a != b).sum())
            found.places[name] += a.size
        last = program.outputs[0]
        for who, out in (("torch", golden.spikes[last]), ("integers", ran.spikes[last])):
            answers = out.sum(axis=0, dtype=np.int64).argmax(axis=1)
            found.right[who] += int((answers == labels.numpy()).sum())
    return found


def figures(model: nn.Module, program: Program, recipe: Recipe, data: DataSet) -> dict[str, Any]:
    """What is saved of one deployment."""
    found = agreement(model, program, recipe, data)
    hidden = [name for name in found.places if name != program.outputs[0]]
    layers = program.metadata["layers"]
    share = sum(found.both[name] for name in hidden) / max(sum(found.either[name] for name in hidden), 1)
    places = 1 - sum(found.differ[name] for name in hidden) / sum(found.places[name] for name in hidden)
    return {
        "torch accuracy %": 100 * found.right["torch"] / len(data.test),
        "integer accuracy %": 100 * found.right["integers"] / len(data.test),
        "hidden spikes identical %": round(100 * share, 4),
        "hidden places identical %": round(100 * places, 4),
        "layers": {
            name: {
                "spikes": found.either[name],
                "differing": found.differ[name],
                "weight error": layers[name]["weight_error"],
                "weights": layers[name]["weights"],
                "vanished": layers[name]["vanished"],
            }
            for name in found.places
        },
    }


def on_lava(program: Program, recipe: Recipe, data: DataSet, samples: int) -> dict[str, Any]:
    """Some test samples on real Lava: every spike of every layer against the simulator's."""
    config = recipe.config.data
    spikes = encode(data.test.images[:samples], config.steps, config.encoding).numpy().astype(bool)
    start = time.perf_counter()
    real, ours = hardware.run_lava(program, spikes), hardware.simulate(program, spikes)
    differing = {name: int((real.spikes[name] != ours.spikes[name]).sum()) for name in ours.spikes}
    return {
        "backend": real.backend,
        "samples": spikes.shape[1],
        "differing": differing,
        "seconds": round(time.perf_counter() - start),
    }


def main() -> None:
    """Train, deploy twice, compare, and save on request."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("net", choices=list(RECIPES))
    options.add_argument("--lava", type=int, default=300, help="test samples that real Lava runs too; 0 for none")
    options.add_argument("--save", action="store_true", help="write benchmarks/results/deploy_mnist.json")
    given = options.parse_args()
    recipe = RECIPES[given.net]
    data = prune.load_data(recipe.config.data)
    start, run = time.process_time(), prune.train(recipe.config, data=data)
    while True:
        try:
            epoch = next(run)
        except StopIteration as end:
            model = end.value
            break
        print(f"epoch {epoch.epoch}: {epoch.test_accuracy:.2%}, {epoch.sparsity:.2%} sparse", flush=True)
    told: dict[str, Any] = {"train CPU s": round(time.process_time() - start), "sparsity %": 100 * epoch.sparsity}
    told["post-training"] = figures(model, compiled(model, recipe, data), recipe, data)
    start = time.process_time()
    fine_tune(model, recipe, data)
    told["fine-tune CPU s"] = round(time.process_time() - start)
    program = compiled(model, recipe, data)
    told["fine-tuned"] = figures(model, program, recipe, data)
    if given.lava:
        told["lava"] = on_lava(program, recipe, data, given.lava)
    told |= {"test samples": len(data.test), "recipe": msgspec.to_builtins(recipe.config), "fine-tuned epochs": recipe.tuned}
    told["machine"] = prune_common.machine()
    print(json.dumps({key: value for key, value in told.items() if key not in ("recipe", "machine")}, indent=1))
    if given.save:
        path = Path(__file__).parent / "results" / "deploy_mnist.json"
        saved = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**saved, given.net: told}, indent=1) + "\n")


if __name__ == "__main__":
    main()
