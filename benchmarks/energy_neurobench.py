"""Our counts against NeuroBench 2.3 and SpikingJelly 2.0 on three networks (MLP, CSNN, residual), pruned and not.

    uv run python benchmarks/energy_neurobench.py [--save]

NeuroBench runs in an environment of its own (`uv run --script`); weights and spikes come back in a file, and the same networks
are built as programs. Its metrics must be equal. SpikingJelly's counter must be equal on unpruned networks; on pruned ones it
counts zero weights too, and the factor is shown.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from spikingjelly.activation_based.op_counter import DispatchCounterMode, SynOpCounter

from filopodia.hardware.activity import Activity
from filopodia.hardware.energy.neurobench import neurobench_metrics
from filopodia.hardware.program import Connection, Conv, Dense, Input, Layer, Program

WORKER = Path(__file__).with_name("neurobench_worker.py")


def build(key: str, found: dict[str, Any], arrays: Any) -> tuple[Program, Activity]:
    """The worker's network as a program, and its run as an activity."""
    names = [name.split("/")[2] for name in arrays.files if name.startswith(f"{key}/spikes/")]
    spikes = {name: arrays[f"{key}/spikes/{name}"] > 0 for name in names}
    latency = {"input": 0}
    for edge in found["edges"]:
        latency[edge["target"]] = max(latency.get(edge["target"], 0), latency[edge["source"]] + 1)
    one = np.array(1, np.int32)
    connections = []
    for edge in found["edges"]:
        weight = arrays[f"{key}/weight/{edge['synapse']}"]
        synapses: Dense | Conv = Dense(weight)
        if weight.ndim == 4:
            synapses = Conv(weight, tuple(edge["stride"]), tuple(edge["padding"]), groups=edge["groups"])
        delay = latency[edge["target"]] - latency[edge["source"]] - 1
        connections.append(Connection(edge["source"], edge["target"], synapses, delay=delay))
    layers = tuple(
        Layer(name, spikes[name].shape[2:], one, one, one, one, latency=latency[name]) for name in names if name != "input"
    )
    program = Program((Input("input", spikes["input"].shape[2:]),), layers, tuple(connections), (layers[-1].name,))
    potentials = {name: arrays[f"{key}/v/{name}"] for name in names if name != "input"}
    steps, samples = spikes["input"].shape[:2]
    return program, Activity("neurobench", steps, samples, spikes, {}, states={"v": potentials})


def spikingjelly(program: Program, activity: Activity) -> float:
    """SpikingJelly's SynOps per sample of the same layers on the same spikes."""
    counter = SynOpCounter()
    with torch.no_grad(), DispatchCounterMode([counter]):
        for connection in program.connections:
            x = torch.from_numpy(activity.spikes[connection.source].astype(np.float32)).flatten(0, 1)
            synapses = connection.synapses
            if isinstance(synapses, Conv):
                weight = torch.from_numpy(synapses.weight.astype(np.float32))
                torch.nn.functional.conv2d(
                    x, weight, None, synapses.stride, synapses.padding, synapses.dilation, synapses.groups
                )
            elif isinstance(synapses, Dense):
                matrix: NDArray[np.float32] = synapses.weight.astype(np.float32)
                torch.nn.functional.linear(x.flatten(1), torch.from_numpy(matrix))
    return float(counter.get_total()) / activity.samples


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "neurobench.npz"
        subprocess.run(["uv", "run", "--no-project", "--quiet", "--script", str(WORKER), str(out)], check=True)
        arrays = np.load(out)
        results = json.loads(str(arrays["header"]))
        print(
            f"{platform.machine()}, Python {platform.python_version()}, NeuroBench 2.3.0, "
            f"SpikingJelly {version('spikingjelly')}, torch {torch.__version__}\n"
        )
        print(f"{'network':16} {'metric':22} {'ours':>14} {'NeuroBench':>14}  equal")
        rows, agree = [], True
        for key, found in results.items():
            program, activity = build(key, found, arrays)
            ours = neurobench_metrics(activity, program)
            pairs = {
                name: (ours["SynapticOperations"][name], found["SynapticOperations"][name])
                for name in found["SynapticOperations"]
            }
            pairs["ConnectionSparsity"] = (round(ours["ConnectionSparsity"], 4), found["ConnectionSparsity"])
            pairs["ActivationSparsity"] = (ours["ActivationSparsity"], found["ActivationSparsity"])
            pairs["MembraneUpdates"] = (ours["MembraneUpdates"], found["MembraneUpdates"])
            for name, (mine, theirs) in pairs.items():
                equal = mine == theirs
                agree &= equal
                rows.append([key, name, mine, theirs, equal])
                print(f"{key:16} {name:22} {mine:14.8g} {theirs:14.8g}  {equal}")
            mine, theirs = ours["SynapticOperations"]["Effective_ACs"], spikingjelly(program, activity)
            if key.endswith("dense"):
                agree &= mine == theirs
            rows.append([key, "SpikingJelly SynOps", mine, theirs, mine == theirs])
            print(f"{key:16} {'SpikingJelly SynOps':22} {mine:14.8g} {theirs:14.8g}  {mine == theirs} ({theirs / mine:.2f}x)\n")
    print("all that must be equal is equal" if agree else "NOT EQUAL")
    if "--save" in sys.argv:
        (Path(__file__).parent / "results" / "energy_neurobench.json").write_text(json.dumps(rows, indent=1) + "\n")
    sys.exit(not agree)


if __name__ == "__main__":
    main()
