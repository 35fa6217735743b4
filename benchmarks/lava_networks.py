"""Whole networks on real Lava: compiled, run, and every spike, u and v of every layer compared with the simulator.

    python benchmarks/lava_networks.py [--samples 2] [--steps 4] [--networks recurrent csnn sew_resnet18] [--save FILE]

The networks are those of `prune` with random weights, a tenth of them kept, on small inputs: a recurrent net on 30 features, a
four-convolution CSNN on 3 x 16 x 16, SEW-ResNet18 on 1 x 8 x 8 (its residual paths balanced by delays).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch
from spikingjelly.activation_based import functional
from torch import nn

from filopodia import export, hardware
from filopodia.prune.config import NetConfig
from filopodia.prune.nets import csnn, recurrent
from filopodia.prune.resnet import SEWResNet


def network(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    """A network in multi-step mode with lively random weights, and the shape of its input."""
    torch.manual_seed(0)
    if name == "sew_resnet18":
        shape: tuple[int, ...] = (1, 8, 8)
        net: nn.Module = SEWResNet(NetConfig(name="sew_resnet18", neuron="if", votes=1), shape, 10)
    elif name == "csnn":
        shape = (3, 16, 16)
        net = csnn(NetConfig(channels=(16, 32, 32, 64), pool=(1, 2, 2, 1), hidden=(64,)), shape, 10)
    else:
        shape = (30,)
        net = recurrent(NetConfig(name="recurrent", hidden=(40,), channels=(), pool=()), shape, 10)
    functional.set_step_mode(net, "m")
    if name == "recurrent":
        functional.set_step_mode(net.rec2.sub_module, "s")  # type: ignore[union-attr, arg-type]
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)  # type: ignore[union-attr]
            module.running_var.uniform_(0.02, 0.08)  # type: ignore[union-attr]
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.weight.data *= (torch.rand_like(module.weight) < 0.1) * 3
    return net.eval(), shape


def prove(name: str, steps: int, samples: int) -> dict[str, Any]:
    """Compile a network and run it on both; says how many values were compared and how many differ."""
    net, shape = network(name)
    spikes = torch.rand(steps, samples, *shape) < 0.4
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.nir"
        nir.write(path, export.to_nir(net, spikes.float(), dt=1e-3))
        program = hardware.compile(path, chip="loihi2", calibration=spikes.numpy())
    states = ("spikes", "u", "v")
    expected = hardware.simulate(program, spikes.numpy(), record=states)
    started = time.perf_counter()
    ran = hardware.run_lava(program, spikes.numpy(), record=states, time_limit_s=1800)
    seconds = time.perf_counter() - started
    values = differing = 0
    for layer in program.layers:
        pairs = [(ran.spikes, expected.spikes), *((ran.states[s], expected.states[s]) for s in ("u", "v"))]
        for mine, theirs in pairs:
            values += theirs[layer.name].size
            differing += int(np.count_nonzero(mine[layer.name] != theirs[layer.name]))
    return {
        "network": name,
        "layers": len(program.layers),
        "neurons": sum(layer.size for layer in program.layers),
        "connections": len(program.connections),
        "spikes": int(sum(expected.spikes[layer.name].sum() for layer in program.layers)),
        "values compared": values,
        "values that differ": differing,
        "lava_s": round(seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--networks", nargs="+", default=["recurrent", "csnn", "sew_resnet18"])
    parser.add_argument("--save", type=Path)
    given = parser.parse_args()
    results = []
    for name in given.networks:
        results.append(prove(name, given.steps, given.samples))
        print(json.dumps(results[-1]), flush=True)
    if given.save:
        given.save.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
