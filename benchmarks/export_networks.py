"""Export of the field's networks: does everything spike alike, how long, how much memory, how many bytes?

    python benchmarks/export_networks.py [cifar10net sew_resnet18 vggsnn recurrent] [--save]

Each network runs in a process of its own. Weights are random, 98 % of them zero, and the BatchNorms are calibrated on
random input so that the layers spike. `ties` counts the spikes that differ between the model as trained and its NIR graph,
or `export.fold` of it: a BatchNorm folded in float32 can move a voltage across a threshold it all but touches, and one such
spike makes others. The folded model is what is exported and what its accuracy is measured on. Its spikes in torch are compared
with NIR in torch, the numpy reference and onnxruntime (scan and step), over all layers; compiled to integers, the integer
simulator's with onnxruntime's (scan and step). Seconds are processor seconds of one thread next to wall-clock seconds, memory
is the growth of the process's peak while `to_nir` and `write_nir` run. `--save` keeps what earlier runs saved of other nets.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "export_networks.json"


def cifar10net() -> tuple[Any, tuple[int, ...], int, int]:
    """CIFAR10Net of Fang et al. 2021 (SpikingJelly's), max pooling and votes; direct input is replaced by spikes."""
    from spikingjelly.activation_based.model.parametric_lif_net import CIFAR10Net

    return CIFAR10Net(256, spiking_neuron=_lif()), (3, 32, 32), 2, 1


def sew_resnet18() -> tuple[Any, tuple[int, ...], int, int]:
    """SEW-ResNet18, ADD, 1000 classes, 224 x 224: 11.7 M parameters."""
    from spikingjelly.activation_based.model.sew_resnet import sew_resnet18 as make

    return make(cnf="ADD", spiking_neuron=_lif()), (3, 224, 224), 2, 1


def vggsnn() -> tuple[Any, tuple[int, ...], int, int]:
    """VGGSNN (Deng et al. 2022, for CIFAR10-DVS): eight convolutions, average pooling, 2 x 48 x 48."""
    from spikingjelly.activation_based import layer
    from torch import nn

    parts, wide = [], 2
    for size in (64, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0):
        if size:
            parts += [layer.Conv2d(wide, size, 3, padding=1), layer.BatchNorm2d(size), _lif()()]
            wide = size
        else:
            parts.append(layer.AvgPool2d(2))
    return nn.Sequential(*parts, layer.Flatten(), layer.Linear(512 * 9, 10)), (2, 48, 48), 2, 1


def recurrent() -> tuple[Any, tuple[int, ...], int, int]:
    """A recurrent audio network as for SHD: 700 inputs, two recurrent layers of 256, 20 outputs."""
    from spikingjelly.activation_based import layer
    from torch import nn

    lif = _lif()
    inner = [layer.LinearRecurrentContainer(lif(), 256, 256) for _ in range(2)]
    parts = [layer.Linear(700, 256), lif(), inner[0], layer.Linear(256, 256), lif(), inner[1], layer.Linear(256, 20), lif()]
    return nn.Sequential(*parts), (700,), 100, 12


NETWORKS = {"cifar10net": cifar10net, "sew_resnet18": sew_resnet18, "vggsnn": vggsnn, "recurrent": recurrent}


def _lif() -> Any:
    from functools import partial

    from spikingjelly.activation_based import neuron, surrogate

    return partial(neuron.LIFNode, surrogate_function=surrogate.ATan(), detach_reset=True)


def prepared(name: str, seed: int) -> tuple[Any, Any]:
    """The network, spiking and pruned to 2 %, in evaluation mode, and a sample."""
    import torch
    from spikingjelly.activation_based import functional, layer, neuron
    from torch import nn

    torch.manual_seed(seed)
    net, shape, steps, samples = NETWORKS[name]()
    functional.set_step_mode(net, "m")
    for module in net.modules():
        if isinstance(module, layer.LinearRecurrentContainer):
            functional.set_step_mode(module.sub_module, "s")
    sample = (torch.rand(steps, samples, *shape) < 0.4).float()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                fan_in = module.weight[0].numel()
                kept = torch.rand_like(module.weight) < 0.02
                module.weight.copy_(torch.where(kept, torch.randn_like(module.weight) * (2.5 / (0.02 * fan_in) ** 0.5), 0.0))
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None
                nn.init.constant_(module.bias, 0.4)
            if isinstance(module, neuron.LIFNode):
                module.v_threshold = 0.5
        net.train()
        for module in net.modules():
            if isinstance(module, nn.Dropout) or type(module).__name__ == "Dropout":
                module.eval()
        net(sample)
        functional.reset_net(net)
    return net.eval(), sample


def measure(name: str, seed: int) -> dict[str, Any]:
    """All figures of one network."""
    import torch
    from export_compare import compare

    from filopodia import export

    torch.set_num_threads(1)
    net, sample = prepared(name, seed)
    dense = sum(p.numel() for p in net.parameters()) * 4
    short = sample[:1, :1]
    with torch.no_grad():
        net(short)
    export.to_nir(torch.nn.Linear(2, 2).eval(), torch.ones(1, 2))  # imports are not what is measured
    with tempfile.TemporaryDirectory() as folder:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        wall, cpu = time.perf_counter(), time.process_time()
        graph = export.to_nir(net, short)
        path = export.write_nir(graph, Path(folder) / "net.nir")
        seconds = {"to_nir_cpu_s": time.process_time() - cpu, "to_nir_wall_s": time.perf_counter() - wall}
        growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        size = path.stat().st_size
        trained = export.golden(net, sample)
        plain = export.from_nir(graph).run(sample, record=trained.spikes).recorded
        unsnapped = {n: int((plain[n].numpy() != s).sum()) for n, s in trained.spikes.items()}
        folded = export.fold(net, short)
        golden = export.golden(folded, sample)
        ties = {n: int((trained.spikes[n] != s).sum()) for n, s in golden.spikes.items()}
    found = compare(folded, (sample,))
    return {
        "network": name,
        "parameters": dense // 4,
        "neuron_steps": found.neuron_steps,
        "rate": found.spikes / found.neuron_steps,
        "silent_layers": [n for n, s in golden.spikes.items() if not s.any()],
        "ties_trained_to_nir": sum(unsnapped.values()),
        "ties_trained_to_folded": sum(ties.values()),
        "ties_by_layer": {n: count for n, count in ties.items() if count},
        "order_dependent_layers": found.loose,
        "differ": found.differ,
        "integer_neuron_steps": found.integer_steps,
        "integers_refused": found.refused,
        **seconds,
        "memory_growth_over_dense_bytes": growth / dense,
        "nir_bytes_over_dense_bytes": size / dense,
    }


def main() -> None:
    """Measure the networks that were asked for, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", choices=[[], *NETWORKS], default=[])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--one", choices=list(NETWORKS), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    if asked.one:
        print(json.dumps(measure(asked.one, asked.seed)))
        return
    import nir
    import onnxruntime
    import torch

    machine = f"{platform.machine()}, {platform.system()}, python {platform.python_version()}, torch {torch.__version__}"
    found: dict[str, Any] = {
        "machine": f"{machine}, onnxruntime {onnxruntime.__version__}, nir {nir.version}",
        "seed": asked.seed,
    }
    print(found["machine"])
    for name in asked.networks or NETWORKS:
        done = subprocess.run(
            [sys.executable, __file__, "--one", name, "--seed", str(asked.seed)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            print(done.stderr, file=sys.stderr)
            raise SystemExit(1)
        found[name] = json.loads(done.stdout.splitlines()[-1])
        print("\n".join([name, *(f"  {key:32} {value}" for key, value in found[name].items() if key != "network")]), flush=True)
        if asked.save:
            RESULTS.parent.mkdir(exist_ok=True)
            earlier = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
            RESULTS.write_text(json.dumps({**earlier, **found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
