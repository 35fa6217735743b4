"""A trained network to NIR, ONNX and golden spikes. Needs runs/example.pt from 01_train_and_prune.py."""

import torch

from filopodia import export, prune

net = torch.load("runs/example.pt", weights_only=False)
test = prune.load_data(prune.DataConfig(name="digits")).test
spikes = prune.encode(test.images[:100], steps=8).float()

net = export.fold(net, spikes[:, :1])  # BatchNorm into the weights, no near-ties: what is said from here on is what is exported
graph = export.to_nir(net, spikes[:, :1], dt=1e-3, readout={"classes": 10, "votes": 2})
export.write_nir(graph, "runs/example.nir")
print("runs/example.nir:", ", ".join(graph.nodes))

golden = export.golden(net, spikes, labels=test.labels[:100])
export.write_golden(golden, "runs/example.golden.npz")
print("runs/example.golden.npz:", {name: array.shape for name, array in golden.spikes.items()})

export.to_onnx(net, spikes[:, :1], "runs/example.onnx")
print("runs/example.onnx")
