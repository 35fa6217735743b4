# /// script
# requires-python = ">=3.10,<3.13"
# dependencies = ["sanafe==2.2.9", "numpy"]
# ///
"""A 784-512-10 network on 7 cores of 3 tiles under SANA-FE, in its own process: writes synapses, spikes and what SANA-FE says.

A small bias keeps every neuron off its resting state, where SANA-FE would not charge the update.

Started by energy_sanafe.py (`uv run --script sanafe_worker.py OUT.npz`).
"""

import json
import sys

import numpy as np
import sanafe

STEPS = 100
SIZES = {"in": 784, "hidden": 512, "out": 10}
# (tile, core) of each part; tile = x * height + y with height 4. Parts of a layer are equal runs of neurons.
PLACES = {"in": [(0, 0), (0, 1)], "hidden": [(5, 0), (5, 1), (14, 2), (14, 3)], "out": [(0, 2)]}


def main(path):
    rng = np.random.default_rng(0)
    arch = sanafe.load_loihi()
    net = sanafe.Network()
    spikes = rng.random((STEPS, SIZES["in"])) < 0.1
    groups, arrays = {}, {}
    for name, size in SIZES.items():
        attributes = {} if name == "in" else {"threshold": 4.0, "reset": 0.0, "leak_decay": 0.9, "bias": 0.01}
        soma = "" if name == "in" else "loihi_lif"
        groups[name] = net.create_neuron_group(
            name, size, attributes, default_synapse_hw_name="loihi_sparse_synapse", log_spikes=True, soma_hw_name=soma
        )
        core_of = np.arange(size) * len(PLACES[name]) // size
        seen = dict.fromkeys(range(len(PLACES[name])), 0)
        for i, neuron in enumerate(groups[name].neurons):
            if name == "in":
                place = seen[int(core_of[i])]
                seen[int(core_of[i])] += 1
                train = {"spikes": spikes[:, i].astype(int).tolist()}
                neuron.set_attributes(soma_hw_name=f"loihi_inputs[{place}]", log_spikes=True, model_attributes=train)
        arrays[f"core/{name}"] = core_of
    for source, target in (("in", "hidden"), ("hidden", "out")):
        kept = rng.random((SIZES[target], SIZES[source])) < 0.1
        to, of = np.nonzero(kept)
        weight = rng.normal(0.3, 1.0, len(to))
        groups[source].connect_neurons_sparse(
            groups[target], {"weight": weight.tolist()}, list(zip(of.tolist(), to.tolist(), strict=True))
        )
        arrays[f"synapses/{source}->{target}"] = kept
    for name in SIZES:
        for i, neuron in enumerate(groups[name].neurons):
            tile, core = PLACES[name][int(arrays[f"core/{name}"][i])]
            neuron.map_to_core(arch.tiles[tile].cores[core])
    chip = sanafe.SpikingChip(arch)
    chip.load(net)
    result = chip.sim(STEPS, timing_model="simple", spike_trace=True, perf_trace=True)
    for name, size in SIZES.items():
        arrays[f"spikes/{name}"] = np.zeros((STEPS, size), bool)
    for step, addresses in enumerate(result["spike_trace"]):
        for address in addresses:
            arrays[f"spikes/{address.group_name}"][step, address.neuron_offset] = True
    said = {"places": PLACES, "energy": dict(result["energy"]), "sim_time": result["sim_time"], "synops": result["spikes"]}
    said["packets"] = result.get("packets_sent", result.get("packets"))
    said["keys"] = [*result, *(result["perf_trace"] or {})]
    with open(path, "wb") as file:
        np.savez_compressed(file, header=np.array(json.dumps(said)), **arrays)


if __name__ == "__main__":
    main(sys.argv[1])
