"""How fast networks in floats run against SpikingJelly and bare torch, all on one thread, in CPU time, interleaved.

    python benchmarks/simulator_floats.py [case ...] [--rounds 5] [--save]

The same float32 weights and neurons on all sides: `simulate(network)` on a NIR graph, SpikingJelly 2.0 multi-step, torch
without neurons. Every figure is a median of per-round ratios. Our side takes boolean spikes [T, N, ...], checks and runs them;
the network's tables are made before, as torch's weights are. `reference` is the readable numpy that defines the arithmetic;
it runs few samples and is scaled, as are the torch sides of the big net. Before anything is timed, spikes are compared: `rate`
is the layers' share of spikes, `differ` the share of outputs that are not SpikingJelly's, `reference_differ` how many spikes
are not the reference's.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import nir
import numpy as np
import torch
from simulator_nets import CIFAR10NET, MNIST_FC, Peer, Shape, interleaved, program, ratio, run_cases

from filopodia.hardware import Network, load, simulate
from filopodia.hardware.network import reference
from filopodia.hardware.program import Conv, Dense, Program

DT = 1e-3
TAU = 2 * DT  # v keeps half of itself per step, as the programs' neurons do


def main() -> None:
    """Run the asked cases and print a table."""
    run_cases(__doc__, CASES, "simulator_floats")


def in_floats(of: Program, seed: int = 2) -> tuple[Network, Peer, Peer]:
    """A program's net with float32 weights off every grid: as a network, in SpikingJelly, and in torch without neurons."""
    rng = np.random.default_rng(seed)
    peers = Peer(of, True), Peer(of, False)
    layers = [[m for m in peer.net if hasattr(m, "weight")] for peer in peers]
    nodes: dict[str, Any] = {"input": nir.Input({"input": np.array(of.inputs[0].shape)})}
    for i, x in enumerate(of.layers):
        synapses = of.into(x.name)[0].synapses
        assert isinstance(synapses, Conv | Dense)
        weight = (synapses.weight * rng.uniform(0.9, 1.1, synapses.weight.shape)).astype(np.float32)
        for modules in layers:
            modules[i].weight.data = torch.from_numpy(weight)
        if isinstance(synapses, Conv):
            zeros = np.zeros(len(weight), np.float32)
            nodes[f"w{i}"] = nir.Conv2d(None, weight, synapses.stride, synapses.padding, (1, 1), 1, zeros)
        else:
            if not any(type(node).__name__ in ("Flatten", "Linear") for node in nodes.values()):
                nodes["flatten"] = nir.Flatten({"input": None}, 0, -1)
            nodes[f"w{i}"] = nir.Linear(weight)
        zero, one = np.zeros(x.shape, np.float32), np.ones(x.shape, np.float32)
        threshold = one * np.nextafter(np.float32(x.vth), np.float32(0))  # fires strictly above: at or above vth
        nodes[x.name] = nir.LIF(tau=TAU * one, r=2 * one, v_leak=zero, v_threshold=threshold, v_reset=zero)
    nodes["output"] = nir.Output({"output": np.array(of.layers[-1].shape)})
    names = list(nodes)
    metadata = {"filopodia_format": 1, "dt": DT, "comparison": ">", "trained_comparison": ">="}
    graph = nir.NIRGraph(nodes, list(pairwise(names)), metadata=metadata, type_check=False)
    return load(graph), *peers


def compare(of: Program, steps: int, samples: int, peers: int, plain: tuple[int, int] | None, rounds: int) -> dict[str, float]:
    """Our time against the others'; torch runs `peers` samples, the reference `plain` (steps, samples), None: not at all."""
    network, jelly, bare = in_floats(of)
    rng = np.random.default_rng(1)
    given = rng.random((steps, samples, *of.inputs[0].shape)) < 0.05
    x = torch.from_numpy(given[:, :peers].astype(np.float32))
    few = {"input": given[: plain[0], : plain[1]]} if plain else {}
    spikes = simulate(network, given, threads=1).spikes
    with torch.inference_mode():
        fired = jelly(x).numpy() != 0
    hidden = [layer.name for layer in of.layers]
    figures: dict[str, float] = {"rate": float(np.mean([spikes[name].mean() for name in hidden]))}
    figures["differ"] = float((fired != spikes[hidden[-1]][:, :peers]).mean())
    sides: dict[str, Callable[[], object]] = {
        "ours": lambda: simulate(network, given, record=(), threads=1),
        "spikingjelly": lambda: jelly(x),
        "torch": lambda: bare(x),
    }
    if plain:
        told = reference.run(network, few, ("spikes",), np.dtype(np.float32)).spikes
        figures["reference_differ"] = sum(int((told[n] != spikes[n][: plain[0], : plain[1]]).sum()) for n in hidden)
        sides["reference"] = lambda: reference.run(network, few, (), np.dtype(np.float32))
    with torch.inference_mode():
        seconds = interleaved(sides, rounds)
    shares = {"spikingjelly": peers / samples, "torch": peers / samples}
    if plain:
        shares["reference"] = plain[0] * plain[1] / steps / samples
    figures |= {f"x_{name}": ratio(seconds[name], seconds["ours"]) / share for name, share in shares.items()}
    return figures | {"us_per_sample_step": 1e6 * float(np.median(seconds["ours"])) / samples / steps}


def fully_connected(sparsity: int) -> Callable[[int], dict[str, dict[str, float]]]:
    """784-512-512-10, T = 16, N = 256."""

    def measure(rounds: int) -> dict[str, dict[str, float]]:
        net = program(MNIST_FC, (784,), (1 - sparsity / 100,) * 3, (0.05,) * 4)
        return {f"784-512-512-10 {sparsity} % / 5 %": compare(net, 16, 256, 256, (16, 4), rounds)}

    return measure


def convolution(rounds: int) -> dict[str, dict[str, float]]:
    """One convolution 256 -> 256 at 16 x 16, T = 8, N = 32."""
    net = program((Shape(256, True),), (256, 16, 16), (0.05,), (0.05, 0.05))
    return {"conv 256, 16 x 16, 95 % / 5 %": compare(net, 8, 32, 8, (2, 1), rounds)}


def cifar(rounds: int) -> dict[str, dict[str, float]]:
    """CIFAR10Net, T = 8, N = 8."""
    net = program(CIFAR10NET, (3, 32, 32), (0.05,) * 8, (0.05,) * 9)
    return {"CIFAR10Net 95 % / 5 %": compare(net, 8, 8, 1, None, rounds)}


CASES: dict[str, Callable[[int], dict[str, dict[str, float]]]] = {
    "fc": fully_connected(95),
    "fc90": fully_connected(90),
    "conv": convolution,
    "cifar": cifar,
}

if __name__ == "__main__":
    main()
