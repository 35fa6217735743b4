"""A pruned weight stays zero to the end: later training, BatchNorm folding, NIR, ONNX, and the chip's integers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from spikingjelly.activation_based import functional

from filopodia import export, hardware
from filopodia.prune import DataConfig, NetConfig, PruneConfig, TrainConfig, encode, hold_zeros, load_data, readout, train

CONFIG = TrainConfig(
    data=DataConfig(steps=4),
    net=NetConfig(channels=(4,), pool=(2,), hidden=(16,), votes=1),
    prune=PruneConfig(target_sparsity=0.8),
    epochs=2,
    batch_size=64,
)


def finished() -> torch.nn.Module:
    training = train(CONFIG)
    while True:
        try:
            next(training)
        except StopIteration as end:
            net: torch.nn.Module = end.value
            return net


def zeros(net: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: weight.detach().numpy() == 0 for name, weight in net.named_parameters() if weight.dim() > 1}


def test_zeros_survive_everything_that_follows(tmp_path: Path) -> None:
    net, data = finished(), load_data(CONFIG.data)
    pruned = zeros(net)
    assert sum(int(zero.sum()) for zero in pruned.values()) == round(0.8 * sum(zero.size for zero in pruned.values()))

    net.train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.1)
    release = hold_zeros(net, optimizer)
    spikes = encode(data.train.images[:64], 4).float()
    for _ in range(3):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(readout(net(spikes), 10), data.train.labels[:64]).backward()
        optimizer.step()
        functional.reset_net(net)
    release()
    net.eval()
    assert all(np.array_equal(zero, pruned[name]) for name, zero in zeros(net).items())

    folded = export.fold(net, spikes)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    assert all(np.array_equal(zero, pruned[name]) for name, zero in zeros(folded).items())

    graph = export.to_nir(net, spikes)
    for name, zero in pruned.items():
        assert np.array_equal(graph.nodes[name.removesuffix(".weight")].weight == 0, zero)

    export.to_onnx(net, spikes, tmp_path / "model.onnx")
    held = [numpy_helper.to_array(tensor) for tensor in onnx.load(tmp_path / "model.onnx").graph.initializer]
    for zero in pruned.values():  # some layouts are transposed: the count is what tells
        assert any(array.size == zero.size and int((array == 0).sum()) == int(zero.sum()) for array in held)

    program = hardware.compile(
        hardware.load(export.write_nir(graph, tmp_path / "model.nir")), calibration=spikes[:, :8].numpy()
    )
    into = {connection.target: connection.synapses for connection in program.connections}
    kernel = into["spike1"].weight
    assert kernel.shape == pruned["conv1.weight"].shape
    assert not kernel[pruned["conv1.weight"]].any()
    assert kernel.any()
    last = into[program.outputs[0]].weight
    assert not last[pruned["fc3.weight"]].any()
    assert last.any()
