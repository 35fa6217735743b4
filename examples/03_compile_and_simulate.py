"""A NIR file to integers on Loihi 2's cores, simulated bit-exactly. Needs the files of 02_export.py. No torch from here on."""

from filopodia import export, hardware

golden = export.read_golden("runs/example.golden.npz")
spikes = golden.inputs["input"]

network = hardware.load("runs/example.nir")
program = hardware.compile(network, chip="loihi2")
for core in program.cores:
    print(f"core {core.index}: {', '.join(core.neurons)}, uses {dict(core.used)}")
hardware.save_program(program, "runs/example.program.npz")

activity = hardware.simulate(program, spikes)
hardware.save_activity(activity, "runs/example.activity.npz")
right = (activity.predictions(program.outputs[0], classes=10, votes=2) == golden.labels).mean()
print(f"{right:.1%} right in integers; {activity.spikes[program.outputs[0]].sum()} output spikes")

# The same on real Lava, where a Python 3.10 can be found (`filopodia doctor` says):
# activity = hardware.run_lava(program, spikes)
