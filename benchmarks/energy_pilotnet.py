"""PilotNet-LIF on Loihi 2: our counts, times and joules against what the silicon's counters and meters showed.

    FILOPODIA_DATA=... uv run python benchmarks/energy_pilotnet.py [--save]

Needs the folder `loihi2_pilotnet` in FILOPODIA_DATA: the network file of lava-dl's notebook, the counters and step times
read off its plots, and its published power runs. The measured workload ran from its own biases (silent input), so the network
file alone reproduces it. Placement as measured: columns of an image layer per core, the last core partly filled.
The table loihi2/pilotnet was fitted on this very workload (one factor); the two Loihi 1 tables were not, and predict it.
"""

from __future__ import annotations

import csv
import json
import os
import platform
import sys
from pathlib import Path
from statistics import mean, median
from typing import Any

import h5py
import numpy as np

from filopodia import hardware
from filopodia.hardware.activity import Activity
from filopodia.hardware.energy.count import count_events
from filopodia.hardware.energy.latency import step_times
from filopodia.hardware.program import Connection, Conv, Core, Dense, Input, Layer, Program

STEPS = 16  # of a sample; the network is reset every 16 steps
COLUMNS = {"input": 16, "conv1": 4, "conv2": 4, "conv3": 8, "conv4": 8, "conv5": 16}
# README of the data: synops of a full core over 10 000 steps, and the last core's as a fraction of them.
FULL_CORE = {"conv2": 1.312e9, "conv3": 1.508e9, "conv4": 5.234e8}
LAST_CORE = {"conv2": 0.33, "conv4": 0.87, "conv5": 0.31}
# The conv counters' own step times: conv3 sets the slow steps (1.02 ns per synop), conv2 must stay below the fast ones.
LAYER_RATES = {"conv3": 1.02e-9, "conv2": 0.69e-9}
FAULTY = ("2022-10-24", "2022-10-25")


def program(path: Path) -> Program:
    """The network file as a program: its weights are integers already."""
    layers = [Layer("input", (3, 66, 200), *(np.array(x, np.int32) for x in (4095, 1024, 131071, 0)), latency=1)]
    connections = [Connection("image", "input", Conv(np.ones((3, 1, 1, 1), np.int16), groups=3))]
    with h5py.File(path) as file:
        blocks = [file["layer"][str(i)] for i in range(1, len(file["layer"]))]
        for block in blocks:
            kind = block["type"][0].decode()
            if kind == "flatten":
                continue
            weight = block["weight"][()].astype(np.int16)
            shape = tuple(int(n) for n in block["shape"][()])
            shape = shape if kind == "conv" else shape[:1]
            bias = np.broadcast_to(block["bias"][()].astype(np.int32).reshape(-1, *[1] * (len(shape) - 1)), shape)
            neuron = block["neuron"]
            dv, vth = (np.array(int(neuron[key][()]), np.int32) for key in ("vDecay", "vThMant"))
            name = f"{kind}{len(layers)}"
            synapses: Conv | Dense = Dense(weight.reshape(shape[0], -1))
            if kind == "conv":
                pairs = {key: tuple(int(n) for n in block[key][()]) for key in ("stride", "padding", "dilation")}
                synapses = Conv(weight, pairs["stride"], pairs["padding"], pairs["dilation"], int(block["groups"][()]))
            connections.append(Connection(layers[-1].name, name, synapses))
            layers.append(Layer(name, shape, np.array(4095, np.int32), dv, vth, bias, latency=len(layers) + 1))
    return Program(
        (Input("image", (3, 66, 200)),), tuple(layers), tuple(connections), (layers[-1].name,), "loihi2", place(layers)
    )


def place(layers: list[Layer]) -> tuple[Core, ...]:
    """Cores as on the chip: runs of columns for image layers, the first dense layer over 12 cores, the others on one each."""
    parts = []
    for layer in layers:
        index = np.arange(layer.size).reshape(layer.shape)
        if layer.name in COLUMNS:
            width = COLUMNS[layer.name]
            cut = [index[:, :, x : x + width] for x in range(0, layer.shape[2], width)]
        else:
            cut = np.array_split(index, 12 if layer.size == 100 else 1)
        parts += [(layer.name, np.sort(part.ravel()).astype(np.int32)) for part in cut]
    return tuple(
        Core(i, 0, (i // 4 % 8, i // 32, i % 4), {name: neurons}, {"neurons": len(neurons)})
        for i, (name, neurons) in enumerate(parts)
    )


def counters(made: Program, activity: Activity) -> list[tuple[str, float, float, str]]:
    """(what, ours, measured, error) of the per-core counters, as over 10 000 steps."""
    events = count_events(activity, made)
    out = []
    scale = 10_000 / (activity.steps * activity.samples)
    for name in ("conv2", "conv3", "conv4", "conv5"):
        mine = events[name]
        synops = (mine.all_synops + mine.missing["conv"]).sum(axis=(1, 2)) * scale
        if name in FULL_CORE:
            full = float(synops[0])
            out.append((f"{name} synops, full core", full, FULL_CORE[name], f"{full / FULL_CORE[name] - 1:+.2%}"))
            zeros = float((mine.all_synops + mine.zeros["conv"])[0].sum() * scale)
            print(f"  (stored zeros counted too, {name}: {zeros / FULL_CORE[name] - 1:+.1%})")
        if name in LAST_CORE:
            last = float(synops[-1] / synops[0])
            out.append((f"{name} last core / full core", last, LAST_CORE[name], f"{last - LAST_CORE[name]:+.3f}"))
    return out


def neuron_updates(made: Program, activity: Activity, folder: Path) -> list[tuple[str, float, float, str]]:
    """The neuron-update counter of a full core is 2 per neuron and step and 1 per spike."""
    with (folder / "pilotnet_lif_activity_per_core_digitised.csv").open() as file:
        rows = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]
    measured = {
        "conv1": median(row["neuron_updates"] for row in rows[36:59]),
        "conv2": median(row["neuron_updates"] for row in rows[23:34]),
        "conv3": median(row["neuron_updates"] for row in rows[20:22]),
        "conv4": median(row["neuron_updates"] for row in rows[17:19]),
        "input": median(row["neuron_updates"] for row in rows[61:73] if row["neuron_updates"] < 1e8),
    }
    events = count_events(activity, made)
    out = []
    for name, seen in measured.items():
        mine = events[name]
        passes = (2 * mine.updates + mine.spikes).sum(axis=(1, 2)) * 10_000 / (activity.steps * activity.samples)
        ours = float(np.median(passes[:-1]))
        out.append((f"{name} neuron updates, full core", ours, seen, f"{ours / seen - 1:+.2%}"))
    return out


def phases(times: np.ndarray[Any, Any], depth: int) -> list[float]:
    """Mean time at each phase of the period of four steps, microseconds, past the pipeline's filling, slowest first."""
    steady = times[STEPS : STEPS + 2 * STEPS]
    found = [float(steady[k::4].mean() * 1e6) for k in range(4)]
    first = found.index(max(found))
    return found[first:] + found[:first]


def main() -> None:
    folder = Path(os.environ.get("FILOPODIA_DATA", "")) / "loihi2_pilotnet"
    if not folder.is_dir():
        sys.exit("set FILOPODIA_DATA to the folder that holds loihi2_pilotnet")
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}\n")
    made = program(folder / "pilotnet_lif_network.net")
    activity = hardware.simulate(made, np.zeros((STEPS, 4, 3, 66, 200), bool))
    rows = [*counters(made, activity), *neuron_updates(made, activity, folder)]

    with (folder / "pilotnet_lif_time_per_step_us_digitised.csv").open() as file:
        measured = np.array([float(line.split(",")[1]) for line in file if line[0] != "#"])[STEPS : STEPS + 96]
    seen = [float(np.median(measured[k::4])) for k in range(4)]
    events = count_events(activity, made)
    costs = hardware.load_costs("loihi2/pilotnet")
    one, own = step_times(made, events, costs), step_times(made, events, costs, LAYER_RATES)
    assert one is not None
    assert own is not None
    each, same = phases(own.steps["nominal"], own.depth), phases(one.steps["nominal"], one.depth)
    rows += [
        (f"step time, phase {k}, rate per layer (us)", a, b, f"{a / b - 1:+.2%}")
        for k, (a, b) in enumerate(zip(each, seen, strict=True))
    ]
    rows.append(("mean step time, one rate (us)", mean(same), 152.85, f"{mean(same) / 152.85 - 1:+.2%}"))
    correlation = float(np.corrcoef(each, seen)[0, 1])

    with (folder / "measured_runs.csv").open() as file:
        runs = [row for row in csv.DictReader(file) if row["network"] == "pilotnet_snn" and row["date"] not in FAULTY]
    dynamic = [float(row["dynamic_mJ_per_inf"]) for row in runs]
    total = [float(row["total_mJ_per_inf"]) for row in runs]
    print(f"\n{'':44} {'ours':>12} {'measured':>12}  difference")
    for what, ours, theirs, error in rows:
        print(f"{what:44} {ours:12.5g} {theirs:12.5g}  {error}")
    print(f"correlation of the four step times: {correlation:.4f}")
    print(
        f"\nper inference of {STEPS} steps, mJ; published runs: "
        f"dynamic {min(dynamic)} to {max(dynamic)}, total {min(total)} to {max(total)}"
    )
    priced = {}
    for table in ("loihi2/pilotnet", "loihi1/davies2018", "loihi1/sanafe"):
        found = hardware.estimate(activity, made, table, synop_s=LAYER_RATES if table == "loihi2/pilotnet" else None)
        low, nominal, high = (getattr(found.dynamic, end) * 1e3 for end in ("low", "nominal", "high"))
        holds = low <= min(dynamic) and max(dynamic) <= high
        priced[table] = {"dynamic_mJ": [low, nominal, high], "holds_every_run": holds, "total_mJ": found.total.nominal * 1e3}
        print(
            f"  {table:18} dynamic {nominal:.3f} [{low:.3f}, {high:.3f}] ({nominal / 1.0935 - 1:+.1%}), "
            f"holds every run: {holds}; total {found.total.nominal * 1e3:.3f} ({found.total.nominal * 1e3 / 1.6611 - 1:+.1%})"
            + ("  [fitted on this workload]" if table.startswith("loihi2") else "")
        )
    fitted = hardware.estimate(activity, made, "loihi2/pilotnet")
    for cause in fitted.by_cause:
        joules = f"{cause.energy.nominal * 1e6:9.2f} uJ" if cause.energy else "unpriced"
        print(f"    {cause.name:24} {cause.count / STEPS:12.0f} per step {joules}")
    if "--save" in sys.argv:
        result = {"rows": [list(row) for row in rows], "correlation": correlation, "energy": priced}
        (Path(__file__).parent / "results" / "energy_pilotnet.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
