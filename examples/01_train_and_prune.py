"""Prune a spiking network of your own while it trains: three lines around an ordinary PyTorch loop."""

import sys
from pathlib import Path

import torch
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn

from filopodia import prune

EPOCHS = int(sys.argv[1]) if len(sys.argv) > 1 else 20

data = prune.load_data(prune.DataConfig(name="digits"))
net = nn.Sequential(
    layer.Conv2d(1, 16, 3, padding=1, bias=False), layer.BatchNorm2d(16), neuron.LIFNode(tau=2.0, detach_reset=True),
    layer.AvgPool2d(2), layer.Flatten(),
    layer.Linear(256, 20, bias=False), layer.BatchNorm1d(20), neuron.LIFNode(tau=2.0, detach_reset=True),
)  # fmt: skip
functional.set_step_mode(net, "m")

torch.manual_seed(0)
batches = len(data.train.labels) // 64
optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
pruner = prune.STDS(net, optimizer=optimizer, target_sparsity=0.8, total_steps=EPOCHS * batches)

for epoch in range(EPOCHS):
    net.train()
    for batch in torch.randperm(len(data.train.labels))[: 64 * batches].split(64):
        spikes = prune.encode(data.train.images[batch], steps=8).float()  # [T, N, 1, 8, 8]
        rates = prune.readout(net(spikes), classes=10)
        loss = nn.functional.cross_entropy(10 * rates, data.train.labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pruner.step()
        functional.reset_net(net)
    print(f"epoch {epoch + 1}: loss {loss.item():.3f}, {pruner.sparsity():.1%} of the weights zero")

pruner.finalize()  # plain modules again, with exact zeros
net.eval()
with torch.no_grad():
    answers = prune.readout(net(prune.encode(data.test.images, steps=8).float()), classes=10).argmax(1)
functional.reset_net(net)
print(f"test accuracy {(answers == data.test.labels).float().mean():.1%}")

Path("runs").mkdir(exist_ok=True)
torch.save(net, "runs/example.pt")
print("saved runs/example.pt")
