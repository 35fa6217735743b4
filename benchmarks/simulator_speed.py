"""How fast the simulator is against SpikingJelly and bare torch, all on one thread, in CPU time, interleaved.

    python benchmarks/simulator_speed.py [case ...] [--rounds 5] [--save]

Every figure is a median of per-round ratios. Our side takes boolean spikes [T, N, ...] and returns rates and all energy counts:
checking, packing, layout changes and counting are included; the program's tables are built before, as torch's weights are.
For the big net the torch sides run 2 of the 32 samples (their time is linear in samples) and are scaled.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from simulator_nets import CIFAR10NET, MNIST_FC, Peer, Shape, interleaved, program, ratio, run_cases

from filopodia.hardware import simulate
from filopodia.hardware.program import Program

# per-layer sparsity of the published CIFAR10Net (stds reference, D = 1 and D = 2), spike rates per layer 2-9 %
D1 = (0.8530, 0.9399, 0.8738, 0.8385, 0.8467, 0.7905, 0.9654, 0.3928)
D2 = (0.9324, 0.9782, 0.9399, 0.9207, 0.9252, 0.8841, 0.9844, 0.5758)


def main() -> None:
    """Run the asked cases and print a table."""
    run_cases(__doc__, CASES, "simulator_speed")


def compare(
    programs: dict[str, Program], rates: dict[str, float], steps: int, samples: int, peers: int, rounds: int
) -> dict[str, dict[str, float]]:
    """Our time for each program against SpikingJelly's and bare torch's, which do not depend on zeros."""
    rng = np.random.default_rng(1)
    first = next(iter(programs.values()))
    shape = first.inputs[0].shape
    x = torch.from_numpy((rng.random((steps, peers, *shape)) < 0.05).astype(np.float32))
    jelly, bare = Peer(first, True), Peer(first, False)
    sides: dict[str, Callable[[], object]] = {}
    inputs: dict[str, NDArray[np.bool_]] = {}
    with torch.inference_mode():
        for name, of in programs.items():
            given = inputs[name] = rng.random((steps, samples, *shape)) < rates[name]
            sides[name] = partial(simulate, of, given, record=(), threads=1)
        sides["spikingjelly"] = lambda: jelly(x)
        sides["torch"] = lambda: bare(x)
        seconds = interleaved(sides, rounds)
    scale = samples / peers
    rows = {}
    for name in programs:
        activity = simulate(programs[name], inputs[name], record=(), threads=1)
        hidden = [x.name for x in programs[name].layers[:-1]] or [programs[name].layers[-1].name]
        size = sum(programs[name].nodes[x].size for x in hidden)
        fired = sum(float(activity.counts[x].spikes.mean()) for x in hidden)
        rows[name] = {
            "x_spikingjelly": scale * ratio(seconds["spikingjelly"], seconds[name]),
            "x_torch": scale * ratio(seconds["torch"], seconds[name]),
            "us_per_sample_step": 1e6 * float(np.median(seconds[name])) / samples / steps,
            "rate": fired / size,
        }
    return rows


def cifar(rounds: int) -> dict[str, dict[str, float]]:
    """CIFAR10Net, T = 8, N = 32."""
    rates = {"published": (0.05, 0.09, 0.06, 0.04, 0.03, 0.03, 0.02, 0.03, 0.03), "even": (0.05,) * 9}
    nets = {
        "CIFAR10Net 90 % / 5 %": program(CIFAR10NET, (3, 32, 32), (0.1,) * 8, rates["even"]),
        "CIFAR10Net D = 1": program(CIFAR10NET, (3, 32, 32), [1 - s for s in D1], rates["published"]),
        "CIFAR10Net D = 2": program(
            CIFAR10NET, (3, 32, 32), [1 - s for s in D2], (0.05, 0.09, 0.08, 0.07, 0.06, 0.06, 0.05, 0.05, 0.05)
        ),
        "CIFAR10Net 99 %": program(CIFAR10NET, (3, 32, 32), (0.01,) * 8, rates["even"]),
    }
    return compare(nets, dict.fromkeys(nets, 0.05), 8, 32, 1, rounds)


def fully_connected(rounds: int) -> dict[str, dict[str, float]]:
    """784-512-512-10, T = 16, N = 256."""
    nets = {f"784-512-512-10 {s} % / 5 %": program(MNIST_FC, (784,), (1 - s / 100,) * 3, (0.05,) * 4) for s in (90, 95, 99)}
    return compare(nets, dict.fromkeys(nets, 0.05), 16, 256, 256, rounds)


def single(rounds: int) -> dict[str, dict[str, float]]:
    """784-512-512-10, T = 100, one sample."""
    nets = {"784-512-512-10 90 % / 5 %, N = 1": program(MNIST_FC, (784,), (0.1,) * 3, (0.05,) * 4)}
    return compare(nets, dict.fromkeys(nets, 0.05), 100, 1, 1, rounds)


def convolution(rounds: int) -> dict[str, dict[str, float]]:
    """One convolution 256 -> 256 at 16 x 16, T = 8, N = 32."""
    nets = {
        f"conv 256, 16 x 16, {s} % / 5 %": program((Shape(256, True),), (256, 16, 16), (1 - s / 100,), (0.05, 0.05))
        for s in (90, 99)
    }
    return compare(nets, dict.fromkeys(nets, 0.05), 8, 32, 8, rounds)


CASES: dict[str, Callable[[int], dict[str, dict[str, float]]]] = {
    "fc": fully_connected,
    "single": single,
    "conv": convolution,
    "cifar": cifar,
}

if __name__ == "__main__":
    main()
