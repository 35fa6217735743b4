"""A NIR file of any framework: does it fit a chip, what does it compute there, what does it cost?"""

import nir
import numpy as np

from filopodia import hardware

# Stands for a file that Norse, snnTorch, Sinabs or another wrote; read yours with hardware.load("my.nir", dt=1e-3).
rng = np.random.default_rng(0)
mine = nir.NIRGraph.from_list(
    nir.Affine(weight=rng.normal(0, 0.4, (64, 32)).astype(np.float32), bias=np.zeros(64, np.float32)),
    nir.LIF(tau=np.full(64, 5e-3), r=np.ones(64), v_leak=np.zeros(64), v_threshold=np.full(64, 0.2)),
    nir.Affine(weight=rng.normal(0, 0.4, (10, 64)).astype(np.float32), bias=np.zeros(10, np.float32)),
    nir.LIF(tau=np.full(10, 5e-3), r=np.ones(10), v_leak=np.zeros(10), v_threshold=np.full(10, 0.2)),
)

network = hardware.load(mine, dt=1e-3)  # NIR leaves the step open: say it, and how your framework discretises
program = hardware.compile(network, chip="loihi1")
spikes = (rng.random((50, 4, 32)) < 0.3).astype(np.uint8)  # [T, N, inputs]

floats = hardware.simulate(network, spikes)
integers = hardware.simulate(program, spikes)
name = program.outputs[0]
same = (floats.spikes[network.outputs[0]].reshape(50, 4, -1) == integers.spikes[name].reshape(50, 4, -1)).mean()
print(f"{len(program.cores)} cores of {program.chip}; {same:.1%} of the output's neuron-steps alike in floats and integers")

estimate = hardware.estimate(integers, program)
print(f"{estimate.synop_spread.mean:.0f} synops and {estimate.total.nominal:.3g} J per sample ({estimate.title})")
