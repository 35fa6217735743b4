# /// script
# requires-python = ">=3.10,<3.13"
# dependencies = ["sanafe==2.2.9", "numpy"]
# ///
"""A net of full connections under SANA-FE, in its own process: seconds per step, and how many neurons fired.

Started by simulator_rivals.py (`uv run --script sanafe_speed_worker.py NET.npz`); NET holds spikes [T, inputs], and weights
[target, source] and a threshold per layer. Prints one line of JSON.
"""

import json
import sys
import time

import numpy as np
import sanafe

SHORT = 20
PART = 512  # neurons per core


def main(path):
    arrays = dict(np.load(path))
    spikes, count = arrays["spikes"], int(arrays["layers"])
    arch, net = sanafe.load_loihi(), sanafe.Network()
    groups = [
        net.create_neuron_group("in", spikes.shape[1], {}, default_synapse_hw_name="loihi_sparse_synapse", log_spikes=True)
    ]
    for i in range(count):
        attributes = {"threshold": float(arrays["thresholds"][i]), "reset": 0.0, "leak_decay": 0.5}
        size = arrays[f"weight{i}"].shape[0]
        groups.append(
            net.create_neuron_group(
                f"layer{i}",
                size,
                attributes,
                default_synapse_hw_name="loihi_sparse_synapse",
                log_spikes=True,
                soma_hw_name="loihi_lif",
            )
        )
    for i in range(count):
        to, of = np.nonzero(arrays[f"weight{i}"])
        weight = arrays[f"weight{i}"][to, of].astype(float)
        groups[i].connect_neurons_sparse(
            groups[i + 1], {"weight": weight.tolist()}, list(zip(of.tolist(), to.tolist(), strict=True))
        )
    core = 0
    for g, group in enumerate(groups):
        for i, neuron in enumerate(group.neurons):
            if g == 0:
                train = {"spikes": spikes[:, i].astype(int).tolist()}
                neuron.set_attributes(soma_hw_name=f"loihi_inputs[{i % PART}]", log_spikes=True, model_attributes=train)
            place = core + i // PART
            neuron.map_to_core(arch.tiles[place // 4].cores[place % 4])
        core += -(-len(group.neurons) // PART)
    chip = sanafe.SpikingChip(arch)
    chip.load(net)
    fired = int(chip.sim(SHORT, timing_model="simple")["neurons_fired"])
    start = time.process_time()
    fired += int(chip.sim(len(spikes) - SHORT, timing_model="simple")["neurons_fired"])
    seconds = (time.process_time() - start) / (len(spikes) - SHORT)
    print(json.dumps({"seconds_per_step": seconds, "fired": fired - int(spikes.sum())}))


if __name__ == "__main__":
    main(sys.argv[1])
