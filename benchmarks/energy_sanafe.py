"""Our counts and energy against SANA-FE 2.2.9 on a 784-512-10 network over several tiles, same spikes, placement and prices.

    uv run python benchmarks/energy_sanafe.py [--save]

SANA-FE (GPL-3) runs as a program of its own (`uv run --script`); nothing of it is imported or copied. Its input neurons cost
nothing but their messages, so of our input layer messages and hops alone are added up; reading outputs costs nothing there.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from filopodia.hardware.activity import Activity
from filopodia.hardware.chip import load_costs
from filopodia.hardware.energy.count import count_events
from filopodia.hardware.energy.estimate import estimate
from filopodia.hardware.energy.latency import step_times
from filopodia.hardware.program import Connection, Core, Dense, Input, Layer, Program, Sparse

WORKER = Path(__file__).with_name("sanafe_worker.py")
MESH_HEIGHT = 4


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "sanafe.npz"
        command = ["uv", "run", "--no-project", "--quiet", "--script", str(WORKER), str(out)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        arrays = dict(np.load(out))
    said = json.loads(str(arrays["header"]))
    spikes = {name.split("/")[1]: array[:, None, :] for name, array in arrays.items() if name.startswith("spikes/")}
    one = np.array(1, np.int32)
    layers = tuple(Layer(name, x.shape[2:], one, one, one, one, latency=i + 1) for i, (name, x) in enumerate(spikes.items()))
    connections = [Connection("world", "in", Dense(np.zeros((784, 1), np.int16)))]
    for pair in ("in->hidden", "hidden->out"):
        kept = arrays[f"synapses/{pair}"]
        indptr = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
        synapses = Sparse(kept.shape, indptr, np.nonzero(kept)[1].astype(np.int32), np.full(int(kept.sum()), 2, np.int16))
        connections.append(Connection(*pair.split("->"), synapses))
    cores = []
    for name, places in said["places"].items():
        for part, (tile, core) in enumerate(places):
            held = np.flatnonzero(arrays[f"core/{name}"] == part).astype(np.int32)
            cores.append(Core(len(cores), 0, (tile // MESH_HEIGHT, tile % MESH_HEIGHT, core), {name: held}, {}))
    program = Program((Input("world", (1,)),), layers, tuple(connections), ("out",), "loihi1", tuple(cores))
    steps = len(spikes["in"])
    activity = Activity("sana-fe", steps, 1, {**spikes, "world": np.zeros((steps, 1, 1), bool)}, {})

    found = estimate(activity, program, "loihi1/sanafe")
    free = ("neuron updates, active", "spikes")
    terms = [
        (c.name, c.energy)
        for x in found.by_layer
        for c in x.causes
        if c.energy and c.name != "outputs" and not (x.name == "in" and c.name in free)
    ]
    energy = sum(joules.nominal for _, joules in terms)
    events = count_events(activity, program)
    synops = sum(int(e.all_synops.sum()) for e in events.values())
    packets = sum(int(e.messages.sum()) for e in events.values())
    network = sum(joules.nominal for name, joules in terms if name in ("messages", "hops"))
    times = step_times(program, events, load_costs("loihi1/sanafe"))
    assert times is not None
    rows = [
        ("synops", float(synops), float(said["synops"])),
        ("packets", float(packets), float(said["packets"])),
        ("energy, synapses (J)", sum(j.nominal for n, j in terms if n == "synops"), said["energy"]["synapse"]),
        ("energy, network (J)", network, said["energy"]["network"]),
        ("energy (J)", energy, said["energy"]["total"]),
    ]
    print(f"{platform.machine()}, Python {platform.python_version()}, SANA-FE 2.2.9; 784-512-10, {steps} steps\n")
    print(f"{'':22} {'ours':>18} {'SANA-FE':>18}  relative difference")
    for what, ours, theirs in rows:
        print(f"{what:22} {ours:18.12g} {theirs:18.12g}  {ours / theirs - 1:+.1e}")
    ours = times.steps["nominal"].sum() * 1e6
    print(f"\n(time: {said['sim_time'] * 1e6:.1f} us by its simple model, {ours:.1f} us by ours, streaming)")
    good = synops == said["synops"] and packets == said["packets"] and abs(energy / said["energy"]["total"] - 1) <= 1e-9
    print("synops and packets equal, energy within 1e-9" if good else "DIFFERENT")
    if "--save" in sys.argv:
        (Path(__file__).parent / "results" / "energy_sanafe.json").write_text(json.dumps(rows, indent=1) + "\n")
    sys.exit(not good)


if __name__ == "__main__":
    main()
