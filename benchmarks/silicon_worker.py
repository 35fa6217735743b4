# /// script
# requires-python = "==3.10.*"
# dependencies = [
#   "brian2-loihi==0.5.2", "brian2==2.5.1", "nengo-loihi==1.1.0", "nengo==3.2.0",
#   "numpy==1.23.5", "scipy==1.10.1", "setuptools<70"
# ]
# ///
"""Run single layers on two emulators of Loihi, in their own Python: started by `simulator_silicon.py`.

silicon_worker.py CASES.npz RESULTS.npz

A case is JSON (`cases`) with weights [n, m] and spikes [T, m] beside it; results are spikes, v and, of nengo-loihi, u of each,
[T, n].
"""

import json
import sys
import warnings

import numpy as np

warnings.simplefilter("ignore")  # the emulators warn of every overflow


def on_nengo(case, weights, spikes):
    """nengo-loihi 1.1.0: its own discretisation of the weights, then its emulator on integers set by hand."""
    from nengo_loihi.block import Axon, LoihiBlock, Synapse
    from nengo_loihi.builder.builder import Model
    from nengo_loihi.builder.discretize import discretize_weights
    from nengo_loihi.emulator import EmulatorInterface
    from nengo_loihi.inputs import SpikeInput

    n, m = weights.shape
    block = LoihiBlock(n)
    compartment = block.compartment
    for name, value in (
        ("decay_u", case["du"]),
        ("decay_v", case["dv"]),
        ("vth", case["vth"] << 6),
        ("bias", case["bias"] << case["bias_exp"]),
    ):
        setattr(compartment, name, np.full(n, value, np.int32))
    compartment.refract_delay = np.ones(n, np.int32)
    compartment.scale_u = compartment.scale_v = False
    compartment.vmin, compartment.vmax = -(2**23) + 1, 2**23 - 1
    compartment.noise_exp, compartment.noise_offset = np.int32(0), np.int32(0)
    synapse = Synapse(m)
    synapse.set_weights(weights.T.astype(np.float32))
    synapse.format(weight_exp=case["weight_exp"])
    lists = [discretize_weights(synapse.synapse_cfg, w.astype(float), check_result=False) for w in synapse.weights]
    synapse.weights = [w.astype(np.int32) for w in lists]
    block.add_synapse(synapse)
    given = SpikeInput(m)
    axon = Axon(m)
    axon.target = synapse
    axon.set_compartment_axon_map(np.arange(m))
    given.add_axon(axon)
    model = Model()
    model.add_block(block)
    model.add_input(given)
    for t, fired in enumerate(spikes):
        given.add_spikes(t + 1, np.flatnonzero(fired))
    made = {"s": [], "u": [], "v": []}
    with EmulatorInterface(model) as emulator:
        emulator.step()  # no spike arrives in the first one
        state = emulator.compartment
        state.voltage[:], state.current[:] = 0, 0
        for _ in range(len(spikes)):
            emulator.step()
            for name, values in (("s", state.spiked), ("u", state.current), ("v", state.voltage)):
                made[name].append(values.copy())
    return made


def on_brian(case, weights, spikes):
    """brian2_loihi 0.5.2."""
    from brian2 import prefs
    from brian2_loihi import (
        LoihiNetwork,
        LoihiNeuronGroup,
        LoihiSpikeGeneratorGroup,
        LoihiSpikeMonitor,
        LoihiStateMonitor,
        LoihiSynapses,
    )

    prefs.codegen.target = "numpy"
    n, m = weights.shape
    times, sources = np.nonzero(spikes)
    neurons = LoihiNeuronGroup(n, refractory=1, threshold_v_mant=case["vth"], decay_v=case["dv"], decay_I=case["du"] + 1)
    given = LoihiSpikeGeneratorGroup(m, sources, times)
    modes = {"mixed": 1, "excitatory": 2, "inhibitory": 3}
    synapses = LoihiSynapses(
        given, neurons, w_exp=case["weight_exp"], sign_mode=modes[case["sign_mode"]], num_weight_bits=case["weight_bits"]
    )
    source, target = np.meshgrid(np.arange(m), np.arange(n), indexing="ij")
    synapses.connect(i=source.ravel(), j=target.ravel())
    synapses.w = weights.T.ravel().astype(int)
    voltage = LoihiStateMonitor(neurons, "v")
    fired = LoihiSpikeMonitor(neurons)
    LoihiNetwork(neurons, given, synapses, voltage, fired).run(len(spikes))
    s = np.zeros((len(spikes), n), bool)
    s[np.rint(np.asarray(fired.t_) * 1000).astype(int), np.asarray(fired.i)] = True  # seconds; a step is 1 ms
    return {"s": s, "v": np.asarray(voltage.v).T}


def main(cases, results):
    with np.load(cases) as file:
        arrays = {name: file[name] for name in file.files}
    out = {}
    for k, case in enumerate(json.loads(str(arrays["cases"]))):
        run = on_nengo if case["on"] == "nengo-loihi" else on_brian
        for name, values in run(case, arrays[f"weights{k}"], arrays[f"spikes{k}"]).items():
            out[f"{name}{k}"] = np.asarray(values)
    np.savez(results, **out)


if __name__ == "__main__":
    main(*sys.argv[1:])
