"""How long real Lava takes for a network of the digits' size, and how much of that is what.

    python benchmarks/lava_run.py [--samples 360] [--rounds 5] [--save FILE]

A spiking CNN on 8 x 8 images (five layers, 2276 neurons, 90 % of the weights zero), random even weights, T = 8 steps, samples
streamed back to back. Rounds alternate Lava and the simulator (A B A B); medians are shown, with the start of Lava apart.
Every spike of every layer is compared.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from pathlib import Path

import numpy as np

from filopodia.hardware.lava import run_lava
from filopodia.hardware.program import Connection, Conv, Dense, Input, Layer, Program
from filopodia.hardware.simulator.simulate import simulate

STEPS = 8


def program(rng: np.random.Generator) -> Program:
    def weights(*shape: int, kept: float = 0.1) -> np.ndarray:
        return np.where(rng.random(shape) < kept, 2 * rng.integers(-127, 128, shape), 0).astype(np.int16)

    def layer(name: str, shape: tuple[int, ...], latency: int) -> Layer:
        du, dv, vth, bias = (np.array(value, np.int32) for value in (4095, 400, 300, 5))
        return Layer(name, shape, du, dv, vth, bias, latency=latency)

    layers = (
        layer("conv1", (16, 8, 8), 1),
        layer("conv2", (32, 4, 4), 2),
        layer("conv3", (32, 4, 4), 3),
        layer("dense1", (128,), 4),
        layer("dense2", (100,), 5),
    )
    connections = (
        Connection("input", "conv1", Conv(weights(16, 1, 3, 3, kept=1.0), padding=(1, 1))),
        Connection("conv1", "conv2", Conv(weights(32, 16, 3, 3), padding=(1, 1), stride=(2, 2))),
        Connection("conv2", "conv3", Conv(weights(32, 32, 3, 3), padding=(1, 1))),
        Connection("conv3", "dense1", Dense(weights(128, 512))),
        Connection("dense1", "dense2", Dense(weights(100, 128, kept=0.5))),
    )
    return Program((Input("input", (1, 8, 8)),), layers, connections, ("dense2",))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=360)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--save", type=Path)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    network, spikes = program(rng), rng.random((STEPS, given.samples, 1, 8, 8)) < 0.3
    whole, start, simulated = [], [], []
    for _ in range(given.rounds):
        begun, ready = time.perf_counter(), [0.0]

        def first_event(stage: str, done: int, total: int, begun: float = begun, ready: list[float] = ready) -> None:
            ready[0] = ready[0] or time.perf_counter() - begun

        ran = run_lava(network, spikes, progress=first_event)
        whole.append(time.perf_counter() - begun)
        start.append(ready[0])
        begun = time.perf_counter()
        expected = simulate(network, spikes)
        simulated.append(time.perf_counter() - begun)
        assert all(np.array_equal(ran.spikes[name], expected.spikes[name]) for name in network.nodes)
    result = {
        "samples": given.samples,
        "steps": STEPS,
        "neurons": sum(layer.size for layer in network.layers),
        "lava_s": statistics.median(whole),
        "lava_start_s": statistics.median(start),
        "lava_ms_per_step": 1000 * (statistics.median(whole) - statistics.median(start)) / (STEPS * given.samples),
        "simulator_s": statistics.median(simulated),
        "ratio": statistics.median(whole) / statistics.median(simulated),
        "machine": f"{platform.machine()}, {platform.system()} {platform.release()}, Python {platform.python_version()}",
        "numpy": np.__version__,
    }
    for name, value in result.items():
        print(f"{name:18} {value:.4g}" if isinstance(value, float) else f"{name:18} {value}")
    if given.save:
        given.save.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
