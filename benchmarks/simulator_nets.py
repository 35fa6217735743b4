"""The nets of the simulator benchmarks: pruned programs and SpikingJelly models of the same weights, held at given spike rates.

Weights are random at a given density; the threshold of each layer is set so that it fires at the asked rate on random input,
which is what decides the cost. Importing this file imports torch.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from filopodia.hardware.program import Connection, Conv, Dense, Input, Layer, Program

DV = 2048  # v keeps half of itself per step: SpikingJelly's LIFNode with tau = 2


@dataclass(frozen=True)
class Shape:
    """One weight layer: a 3 x 3 convolution to `out` channels (after pooling by `pool`), or a full connection."""

    out: int
    conv: bool
    pool: int = 1


CIFAR10NET = (
    *(Shape(256, True), Shape(256, True), Shape(256, True)),
    *(Shape(256, True, 2), Shape(256, True), Shape(256, True)),
    *(Shape(2048, False, 2), Shape(100, False)),
)
MNIST_FC = (Shape(512, False), Shape(512, False), Shape(10, False))


def program(
    shapes: Sequence[Shape], start: tuple[int, ...], densities: Sequence[float], rates: Sequence[float], seed: int = 0
) -> Program:
    """A program of `shapes` on input `start`, firing at `rates[0]` (input), `rates[1:]` (layers); pooling is a stride.

    The published net pools by 2 after its third and sixth convolution; here the next layer takes a stride of 2 instead
    (convolution) or sees every second pixel (full connection), so that both sides do the same work on the same neurons.
    """
    rng = np.random.default_rng(seed)
    layers: list[Layer] = []
    connections: list[Connection] = []
    shape, source = start, "input"
    spikes = rng.random((8, 1, *start)) < rates[0]
    for i, (layer, density, rate) in enumerate(zip(shapes, densities, rates[1:], strict=True)):
        name = f"layer{i}"
        if layer.conv:
            conv = Conv(_weights(rng, (layer.out, shape[0], 3, 3), density), (layer.pool, layer.pool), (1, 1))
            shape = (layer.out, shape[1] // layer.pool, shape[2] // layer.pool)
            synapses: Conv | Dense = conv
        else:
            size = int(np.prod(shape))
            weight = _weights(rng, (layer.out, size), density)
            if layer.pool > 1:  # a full connection to every second pixel
                seen = np.zeros(shape, bool)
                seen[:, :: layer.pool, :: layer.pool] = True
                weight[:, ~seen.reshape(-1)] = 0
            synapses, shape = Dense(weight), (layer.out,)
        arriving = _arriving(synapses, spikes)
        threshold, spikes = _calibrate(arriving, rate)
        spikes = spikes.reshape(8, 1, *shape)
        du, bias = np.asarray(4095, np.int32), np.asarray(0, np.int32)
        layers.append(Layer(name, shape, du, np.asarray(DV, np.int32), np.asarray(threshold, np.int32), bias, latency=i + 1))
        connections.append(Connection(source, name, synapses))
        source = name
    return Program((Input("input", start),), tuple(layers), tuple(connections), (source,))


def _weights(rng: np.random.Generator, shape: tuple[int, ...], density: float) -> NDArray[np.int16]:
    """Even weights of normal size, as the compiler emits them: the largest of a layer near 254."""
    size = int(np.prod(shape))
    flat = np.zeros(size, np.int16)
    chosen = rng.choice(size, round(size * density), replace=False)
    values = np.clip(np.rint(rng.normal(0, 32, len(chosen))), -127, 127)
    flat[chosen] = 2 * np.where(values == 0, 1, values)
    return flat.reshape(shape)


def _arriving(synapses: Conv | Dense, spikes: NDArray[np.bool_]) -> NDArray[np.int64]:
    x = torch.from_numpy(spikes.reshape(8, *spikes.shape[2:]).astype(np.float32))
    w = torch.from_numpy(synapses.weight.astype(np.float32))
    with torch.inference_mode():
        if isinstance(synapses, Conv):
            y = torch.nn.functional.conv2d(x, w, stride=synapses.stride, padding=synapses.padding)
        else:
            y = torch.nn.functional.linear(x.flatten(1), w)
    found: NDArray[np.int64] = y.numpy().reshape(8, -1).astype(np.int64)  # whole numbers below 2^24: exact
    return found


def _calibrate(arriving: NDArray[np.int64], rate: float) -> tuple[int, NDArray[np.bool_]]:
    """The threshold at which a layer fires at `rate` over eight steps, and its spikes."""
    low, high = 1, 2**17
    while high - low > 1:
        middle = (low + high) // 2
        if _fire(arriving, middle).mean() > rate:
            low = middle
        else:
            high = middle
    return high, _fire(arriving, high)


def _fire(arriving: NDArray[np.int64], threshold: int) -> NDArray[np.bool_]:
    v = np.zeros(arriving.shape[1])
    spikes = np.zeros(arriving.shape, np.bool_)
    for t, a in enumerate(arriving):
        v = np.trunc(v * ((4096 - DV) / 4096)) + a * 64
        spikes[t] = v > threshold * 64
        v[spikes[t]] = 0
    return spikes


class Peer(torch.nn.Module):
    """The same net in SpikingJelly 2.0, multi-step, with float32 weights; and without neurons, as bare torch."""

    def __init__(self, of: Program, neurons: bool) -> None:
        super().__init__()
        from spikingjelly.activation_based import layer as sj
        from spikingjelly.activation_based import neuron

        modules: list[torch.nn.Module] = []
        flat = False
        for x in of.layers:
            synapses = of.into(x.name)[0].synapses
            if isinstance(synapses, Conv):
                c_out, c_in = synapses.weight.shape[:2]
                kind = sj.Conv2d if neurons else torch.nn.Conv2d
                module = kind(c_in, c_out, 3, synapses.stride, synapses.padding, bias=False)
            else:
                assert isinstance(synapses, Dense)
                if not flat:
                    modules.append(sj.Flatten() if neurons else torch.nn.Flatten())
                flat = True
                kind = sj.Linear if neurons else torch.nn.Linear
                module = kind(synapses.weight.shape[1], synapses.weight.shape[0], bias=False)
            module.weight.data = torch.from_numpy(synapses.weight.astype(np.float32))
            modules.append(module)
            if neurons:
                threshold = float(x.vth)
                modules.append(neuron.LIFNode(tau=4096 / DV, decay_input=False, v_threshold=threshold, v_reset=0.0))
        self.net = torch.nn.Sequential(*modules)
        self.neurons = neurons
        if neurons:
            from spikingjelly.activation_based import functional

            functional.set_step_mode(self.net, "m")
            self.reset: Callable[[Any], None] = functional.reset_net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Spikes [T, N, *shape] to output spikes [T, N, n] (bare torch: to sums)."""
        if not self.neurons:
            y: torch.Tensor = self.net(x.flatten(0, 1))
            return y
        self.reset(self.net)
        spikes: torch.Tensor = self.net(x)
        return spikes


def interleaved(sides: dict[str, Callable[[], object]], rounds: int, turn: float = 0.1) -> dict[str, list[float]]:
    """CPU seconds per call of each side in each round, A B C A B C ..., a turn being calls for at least `turn` seconds.

    A first round warms up. Turns have a length, not a number of calls: what the first call after another side's turn waits for
    the caches is a part of each side's time in proportion.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for i in range(rounds + 1):
        for name, run in sides.items():
            start, calls, spent = time.process_time(), 0, 0.0
            while spent < turn:
                run()
                calls += 1
                spent = time.process_time() - start
            if i:
                seconds[name].append(spent / calls)
    return seconds


def run_cases(doc: str | None, cases: Mapping[str, Callable[[int], dict[str, dict[str, float]]]], name: str) -> None:
    """The command line of a benchmark with named cases: run those asked for, print their figures, save them under `name`."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", choices=[*cases, []])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--save", action="store_true", help=f"write benchmarks/results/{name}.json")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print(machine())
    found: dict[str, dict[str, float]] = {}
    for case in asked.cases or cases:
        for row, figures in cases[case](asked.rounds).items():
            found[row] = figures
            print(f"{row:48s}" + "  ".join(f"{key} {value:.4g}" for key, value in figures.items()), flush=True)
    if asked.save:
        path = Path(__file__).parent / "results" / f"{name}.json"
        known = json.loads(path.read_text())["figures"] if path.is_file() else {}
        path.write_text(json.dumps({"machine": machine(), "figures": known | found}, indent=1) + "\n")


def ratio(of: list[float], to: list[float]) -> float:
    """Median over rounds of one side's time over the other's."""
    return statistics.median(a / b for a, b in zip(of, to, strict=True))


def machine() -> dict[str, str]:
    """What the figures depend on."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith(("model name", "flags"))
        ]
        widest = next((x for x in ("avx512bw", "avx2", "sse4_2") if x in lines[1].split()), "")
        name = f"{lines[0]} ({widest})"
    packages = {p: version(p) for p in ("numpy", "numba", "torch", "spikingjelly")}
    return {"processor": name, "python": platform.python_version(), **packages}
