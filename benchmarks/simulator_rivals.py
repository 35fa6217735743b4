"""Other simulators on the same net and spikes: 784-512-512-10, 90 % sparse, every layer near 5 % spikes, one thread.

    python benchmarks/simulator_rivals.py [--rounds 5] [--save]

Norse and snnTorch run 256 samples of 16 steps in this process, in turn with ours, weights in float32. nengo-loihi's emulator
and SANA-FE, which take one sample at a time, run one of 220 steps in processes of their own (`uv run --script`); their time to
build and load is left out. All figures are CPU time per sample and step, medians; `fired` is how often the layers fired,
relative to ours: it says whether the work was the same.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import norse
import norse.torch.functional.lif_box as lif_box
import numpy as np
import snntorch
import torch
from simulator_nets import MNIST_FC, interleaved, machine, program, ratio

from filopodia.hardware import simulate
from filopodia.hardware.lava.python import find_python
from filopodia.hardware.program import Dense, Program

HERE = Path(__file__).parent
STEPS, SAMPLES, LONG = 16, 256, 220


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/simulator_rivals.json")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    net = program(MNIST_FC, (784,), (0.1,) * 3, (0.05,) * 4)
    figures = batched(net, asked.rounds) | alone(net, asked.rounds)
    print(machine())
    for name, row in figures.items():
        print(f"{name:28s}" + "  ".join(f"{key} {value:.4g}" for key, value in row.items()))
    if asked.save:
        path = HERE / "results" / "simulator_rivals.json"
        path.write_text(json.dumps({"machine": machine(), "figures": figures}, indent=1) + "\n")


def batched(net: Program, rounds: int) -> dict[str, dict[str, float]]:
    """Norse and snnTorch, which gain from batches."""
    given = np.random.default_rng(1).random((STEPS, SAMPLES, 784)) < 0.05
    x = torch.from_numpy(given.astype(np.float32))
    weights = [torch.from_numpy(_matrix(net, i).astype(np.float32)) for i in range(len(net.layers))]
    thresholds = [float(layer.vth) for layer in net.layers]
    peers: dict[str, Callable[[], int]] = {
        f"snnTorch {snntorch.__version__}": _snntorch(weights, thresholds, x),
        f"Norse {norse.__version__}": _norse(weights, thresholds, x),
    }
    sides: dict[str, Callable[[], object]] = {"ours": lambda: simulate(net, given, record=(), threads=1), **peers}
    with torch.inference_mode():
        seconds = interleaved(sides, rounds)
        fired = {name: peer() for name, peer in peers.items()}
    ours = _fired(net, given)
    return {
        name: {
            "x": ratio(seconds[name], seconds["ours"]),
            "us_per_sample_step": 1e6 * statistics.median(seconds[name]) / STEPS / SAMPLES,
            "ours_us_per_sample_step": 1e6 * statistics.median(seconds["ours"]) / STEPS / SAMPLES,
            "fired": fired[name] / ours,
        }
        for name in peers
    }


def _norse(weights: list[torch.Tensor], thresholds: list[float], x: torch.Tensor) -> Callable[[], int]:
    # v + (i - v) / 2 with doubled weights is v / 2 + a
    neurons = [lif_box.LIFBoxParameters(tau_mem_inv=torch.tensor(500.0), v_th=torch.tensor(v)) for v in thresholds]
    doubled = [2 * weight for weight in weights]

    def run() -> int:
        states = [lif_box.LIFBoxFeedForwardState(v=torch.zeros(x.shape[1], len(weight))) for weight in weights]
        fired = 0
        for step in x:
            spikes = step
            for i, weight in enumerate(doubled):
                spikes, states[i] = lif_box.lif_box_feed_forward_step(spikes @ weight.T, states[i], neurons[i])
                fired += int(spikes.sum())
        return fired

    return run


def _snntorch(weights: list[torch.Tensor], thresholds: list[float], x: torch.Tensor) -> Callable[[], int]:
    neurons = [snntorch.Leaky(beta=0.5, threshold=v, reset_mechanism="zero", reset_delay=False) for v in thresholds]

    def run() -> int:
        states = [neuron.reset_mem() for neuron in neurons]
        fired = 0
        for step in x:
            spikes = step
            for i, (weight, neuron) in enumerate(zip(weights, neurons, strict=True)):
                spikes, states[i] = neuron(spikes @ weight.T, states[i])
                fired += int(spikes.sum())
        return fired

    return run


def alone(net: Program, rounds: int) -> dict[str, dict[str, float]]:
    """nengo-loihi and SANA-FE, one sample in a process of its own per round, in turn with ours."""
    given = np.random.default_rng(1).random((LONG, 1, 784)) < 0.05
    python = find_python()
    own = [] if python is None else ["--python", str(python.path)]
    workers = {
        "nengo-loihi 1.1.0 emulator": [*own, "--script", str(HERE / "nengo_loihi_worker.py")],
        "SANA-FE 2.2.9": ["--script", str(HERE / "sanafe_speed_worker.py")],
    }
    ours_fired = _fired(net, given)
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.npz"
        matrices: dict[str, Any] = {f"weight{i}": _matrix(net, i) for i in range(len(net.layers))}
        thresholds = np.array([int(layer.vth) for layer in net.layers])
        np.savez(path, spikes=given[:, 0], layers=len(net.layers), thresholds=thresholds, **matrices)
        ours = interleaved({"ours": lambda: simulate(net, given, record=(), threads=1)}, rounds, 20)["ours"]
        mine = statistics.median(ours) / LONG
        for name, worker in workers.items():
            said = [_worker(worker, path) for _ in range(rounds)]
            theirs = statistics.median(x["seconds_per_step"] for x in said)
            figures[name] = {
                "x": theirs / mine,
                "us_per_sample_step": 1e6 * theirs,
                "ours_us_per_sample_step": 1e6 * mine,
                "fired": said[0]["fired"] / ours_fired,
            }
    return figures


def _worker(arguments: list[str], path: Path) -> dict[str, float]:
    done = subprocess.run(
        ["uv", "run", "--no-project", "--quiet", *arguments, str(path)], check=True, capture_output=True, text=True
    )
    said: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return said


def _matrix(net: Program, i: int) -> np.ndarray:
    synapses = net.into(net.layers[i].name)[0].synapses
    assert isinstance(synapses, Dense)
    return synapses.weight


def _fired(net: Program, given: np.ndarray) -> int:
    activity = simulate(net, given, record=())
    return sum(int(activity.counts[layer.name].spikes.sum()) for layer in net.layers)


if __name__ == "__main__":
    main()
