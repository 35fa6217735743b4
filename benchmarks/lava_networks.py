"""Whole networks on real Lava: compiled, run, and every spike, u and v of every layer compared with the simulator.

    python benchmarks/lava_networks.py [--samples 2] [--steps 4] [--networks recurrent cifar10net ...] [--save]

The networks are those of `prune` with random weights, a tenth of them kept, on small inputs: CIFAR10Net (six convolutions of
256 channels, max-pooling) on 3 x 8 x 8, SEW-ResNet18 on 1 x 8 x 8 (residual paths balanced by delays), a recurrent net on 30
features, and a CSNN with average pooling on 3 x 16 x 16.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable
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

Shape = tuple[int, ...]


def cifar10net(shape: Shape) -> nn.Module:
    config = NetConfig(channels=(256,) * 6, pool=(1, 1, 2, 1, 1, 2), pooling="max", hidden=(2048,), votes=10)
    return csnn(config, shape, 10)


def sew_resnet18(shape: Shape) -> nn.Module:
    return SEWResNet(NetConfig(name="sew_resnet18", neuron="if", votes=1), shape, 10)


def averaging(shape: Shape) -> nn.Module:
    return csnn(NetConfig(channels=(16, 32, 32, 64), pool=(1, 2, 2, 1), hidden=(64,)), shape, 10)


def looped(shape: Shape) -> nn.Module:
    return recurrent(NetConfig(name="recurrent", hidden=(40,), channels=(), pool=()), shape, 10)


NETWORKS: dict[str, tuple[Callable[[Shape], nn.Module], Shape]] = {
    "recurrent": (looped, (30,)),
    "csnn": (averaging, (3, 16, 16)),
    "cifar10net": (cifar10net, (3, 8, 8)),
    "sew_resnet18": (sew_resnet18, (1, 8, 8)),
}


def network(name: str, steps: int) -> tuple[nn.Module, Shape]:
    """A network in multi-step mode with random weights, and the shape of its input; normalised so that all layers fire."""
    torch.manual_seed(0)
    build, shape = NETWORKS[name]
    net = build(shape)
    functional.set_step_mode(net, "m")
    if name == "recurrent":
        functional.set_step_mode(net.rec2.sub_module, "s")  # type: ignore[union-attr, arg-type]
        nn.init.uniform_(net.rec2.rc.bias, 0.2, 1.2)  # type: ignore[union-attr, arg-type]
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = 1.0
            nn.init.constant_(module.weight, 1.5)
            nn.init.constant_(module.bias, 0.5)
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.weight.data *= torch.rand_like(module.weight) < 0.1
    with torch.no_grad():
        net.train()((torch.rand(steps, 8, *shape) < 0.4).float())
    functional.reset_net(net)
    return net.eval(), shape


def prove(name: str, steps: int, samples: int) -> dict[str, Any]:
    """Compile a network and run it on both; says how many values were compared and how many differ."""
    net, shape = network(name, steps)
    spikes = torch.rand(steps, samples, *shape) < 0.4
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.nir"
        nir.write(path, export.to_nir(net, spikes.float(), dt=1e-3))
        program = hardware.compile(path, chip="loihi2")
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
        "input": list(shape),
        "steps": steps,
        "samples": samples,
        "layers": len(program.layers),
        "neurons": sum(layer.size for layer in program.layers),
        "connections": len(program.connections),
        "spikes": int(sum(expected.spikes[layer.name].sum() for layer in program.layers)),
        "values compared": values,
        "values that differ": differing,
        "cores": len(program.cores),
        "silent layers": [layer.name for layer in program.layers if not expected.spikes[layer.name].any()],
        "lava_s": round(seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--save", action="store_true")
    given = parser.parse_args()
    path = Path(__file__).parent / "results" / "lava_networks.json"
    for name in given.networks:
        result = prove(name, given.steps, given.samples)
        print(json.dumps({name: result}), flush=True)
        if given.save:  # one after the other: what is there of other networks stays
            known = json.loads(path.read_text())["networks"] if path.is_file() else {}
            made = {"networks": known | {name: result}, "lava": "0.10.0", "python": platform.python_version()}
            path.write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
