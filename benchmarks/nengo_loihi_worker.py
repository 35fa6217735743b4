# /// script
# requires-python = ">=3.9,<3.11"
# dependencies = ["nengo-loihi==1.1.0", "nengo==3.2.0", "numpy<1.24", "scipy<1.10", "setuptools<70"]
# ///
"""A net of full connections on nengo-loihi's emulator, in its own process: seconds per step, and how many neurons fired.

Started by simulator_rivals.py (`uv run --script nengo_loihi_worker.py NET.npz`); NET holds spikes [T, inputs], and weights
[target, source] and a threshold per layer. Prints one line of JSON.
"""

import json
import sys
import time

import numpy as np
from nengo_loihi.block import Axon, LoihiBlock, Synapse
from nengo_loihi.builder import Model
from nengo_loihi.builder.discretize import discretize_model
from nengo_loihi.emulator import EmulatorInterface
from nengo_loihi.inputs import SpikeInput
from nengo_loihi.probe import LoihiProbe
from scipy.sparse import csr_matrix

SHORT = 20


def build(arrays, probed):
    """The model and a probe of each layer's spikes."""
    model, probes = Model(), []
    source = SpikeInput(arrays["spikes"].shape[1])
    for t, lit in enumerate(arrays["spikes"]):
        source.add_spikes(t + 1, np.flatnonzero(lit), permanent=True)
    model.add_input(source)
    for i in range(int(arrays["layers"])):
        weight = arrays[f"weight{i}"].astype(np.float32)
        block = LoihiBlock(weight.shape[0])
        block.compartment.configure_relu()
        block.compartment.decay_u[:] = 1.0  # no current of its own
        block.compartment.decay_v[:] = 0.5
        block.compartment.vth[:] = float(arrays["thresholds"][i])
        block.compartment.vmin = -(2.0**30)
        synapse, axon = Synapse(weight.shape[1]), Axon(weight.shape[1])
        synapse.set_weights(csr_matrix(weight.T))
        block.add_synapse(synapse)
        axon.target = synapse
        if i:
            axon.set_compartment_axon_map(np.arange(weight.shape[1]))
        source.add_axon(axon)
        model.add_block(block)
        if probed:
            probes.append(LoihiProbe(target=block, key="spiked"))
            model.add_probe(probes[-1])
        source = block
    discretize_model(model)
    return model, probes


def main(path):
    arrays = dict(np.load(path))
    steps = len(arrays["spikes"])
    model, probes = build(arrays, True)
    with EmulatorInterface(model, seed=0) as emulator:
        emulator.run_steps(steps)
        fired = [int((np.asarray(emulator.collect_probe_output(probe)) > 0).sum()) for probe in probes]
    model, _ = build(arrays, False)
    with EmulatorInterface(model, seed=0) as emulator:
        emulator.run_steps(SHORT)
        start = time.process_time()
        emulator.run_steps(steps - SHORT)
        seconds = (time.process_time() - start) / (steps - SHORT)
    print(json.dumps({"seconds_per_step": seconds, "fired": sum(fired)}))


if __name__ == "__main__":
    main(sys.argv[1])
