"""What a run costs, with ranges, next to what it must be compared with. Needs the files of 03_compile_and_simulate.py."""

from filopodia import hardware

program = hardware.load_program("runs/example.program.npz")
activity = hardware.load_activity("runs/example.activity.npz")

estimate = hardware.estimate(activity, program)  # priced by the chip's own table
print(f"{estimate.title}: {estimate.total.nominal:.3g} J per sample ({estimate.total.low:.2g} to {estimate.total.high:.2g})")
for layer in estimate.by_layer:
    print(f"  {layer.name}: {layer.synops:.0f} synops, {layer.updates:.0f} neuron updates, {layer.energy.nominal:.3g} J")
for cause in estimate.by_cause:
    print(f"  {cause.name}: {cause.count:.0f} per sample, {cause.energy.nominal if cause.energy else 'no price'} J")

comparison = hardware.against_baselines(activity, program)
print(f"unpruned: {comparison.unpruned.total.nominal:.3g} J")
for ann in comparison.anns:
    print(f"{ann.name} ({ann.costs}): {ann.energy.nominal:.3g} J")
