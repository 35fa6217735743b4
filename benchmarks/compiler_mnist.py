"""Post-training quantisation on MNIST: integer against torch accuracy on the 10 000 test images, and how many spikes agree.

    FILOPODIA_DATA=... uv run benchmarks/compiler_mnist.py [--epochs 3] [--samples 10000] [--save]

Trains a spiking network of 784-256-10 LIF neurons on Bernoulli spikes (T = 8), 90 % of its weights pruned by STDS, then
compiles it blindly, with 64 training images as calibration, and with weights of two synapses. Target: within 0.5 points.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import nn

from filopodia import export, hardware, prune
from filopodia.hardware.activity import Activity
from filopodia.hardware.verify import compare

STEPS = 8


def spikes(images: np.ndarray, seed: int) -> np.ndarray:
    """Bernoulli spikes [STEPS, N, 784] of images [N, 28, 28], bool."""
    chance = images.reshape(len(images), 784).astype(np.float32) / 255
    return np.random.default_rng(seed).random((STEPS, *chance.shape), np.float32) < chance


def train(images: np.ndarray, labels: np.ndarray, epochs: int) -> nn.Module:
    """The trained network, plain modules with exact zeros."""
    torch.manual_seed(0)

    def lif() -> neuron.LIFNode:
        return neuron.LIFNode(tau=2.0, surrogate_function=surrogate.ATan(), detach_reset=True)

    parts = OrderedDict(fc1=layer.Linear(784, 256), spike1=lif(), fc2=layer.Linear(256, 10), spike2=lif())
    model = nn.Sequential(parts)
    functional.set_step_mode(model, "m")
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    batches = len(images) // 128
    pruner = prune.STDS(model, optimizer=optimizer, target_sparsity=0.9, total_steps=batches * epochs)
    for epoch in range(epochs):
        order = np.random.default_rng(epoch).permutation(len(images))
        for step in range(batches):
            chosen = order[step * 128 : (step + 1) * 128]
            seen = torch.from_numpy(spikes(images[chosen], epoch * batches + step)).float()
            loss = nn.functional.cross_entropy(model(seen).mean(0) * 4, torch.from_numpy(labels[chosen]).long())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            pruner.step()
            functional.reset_net(model)
    pruner.finalize()
    return model.eval()


def torch_activity(model: nn.Module, seen: np.ndarray) -> Activity:
    """Spikes of both layers as torch computes them."""
    functional.reset_net(model)
    kept = {}
    with torch.no_grad():
        values = torch.from_numpy(seen).float()
        for name, module in model.named_children():
            values = module(values)
            if name.startswith("spike"):
                kept[name] = values.numpy() > 0.5
    return Activity("torch", *seen.shape[:2], kept, {"spike2": kept["spike2"].sum(axis=0, dtype=np.int32)})


def main() -> None:
    """Train, compile three ways, print the figures, and save them on request."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--epochs", type=int, default=3)
    options.add_argument("--samples", type=int, default=10_000)
    options.add_argument("--save", action="store_true")
    given = options.parse_args()
    data = np.load(Path(os.environ["FILOPODIA_DATA"]) / "mnist.npz")
    start = time.perf_counter()
    model = train(data["x_train"], data["y_train"], given.epochs)
    print(f"trained in {time.perf_counter() - start:.0f} s")
    network = hardware.load(export.to_nir(model, torch.from_numpy(spikes(data["x_test"][:4], 0)).float(), dt=1e-3))
    seen, labels = spikes(data["x_test"][: given.samples], 1), data["y_test"][: given.samples]
    golden = torch_activity(model, seen)
    calibration = spikes(data["x_train"][:64], 2)

    def accuracy(activity: Activity) -> float:
        return round(100 * float(np.mean(activity.predictions("spike2", 10) == labels)), 2)

    figures: dict[str, object] = {"torch accuracy": accuracy(golden)}
    for name, settings in (
        ("blind", {}),
        ("calibrated", {"calibration": calibration}),
        ("wide", {"wide": ["spike1", "spike2"]}),
    ):
        program = hardware.compile(network, **settings)
        found = hardware.simulate(program, seen)
        match = compare(golden, found)
        figures[name] = {
            "accuracy": accuracy(found),
            "same places %": {m.layer: round(100 * (1 - m.mismatches / m.compared), 3) for m in match.layers},
            "cores": len(program.cores),
            "synapse_bits": sum(core.used["synapse_bits"] for core in program.cores),
        }
    figures |= {"samples": given.samples, "epochs": given.epochs, "machine": platform.machine()}
    figures["versions"] = {"python": platform.python_version(), "torch": torch.__version__}
    for name, value in figures.items():
        print(f"{name:>22}  {value}")
    if given.save:
        path = Path(__file__).parent / "results" / "compiler_mnist.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
