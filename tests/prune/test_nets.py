"""The networks: shapes, structure, sizes, and the neurons' meaning."""

from __future__ import annotations

import pytest
import torch
from spikingjelly.activation_based import functional, neuron
from torch import nn

from filopodia.errors import ConfigError
from filopodia.prune import DataConfig, NetConfig, TrainConfig, build_net


def test_the_digits_network_is_a_small_named_chain() -> None:
    net = build_net(TrainConfig())
    assert isinstance(net, nn.Sequential)
    names = [name for name, _ in net.named_children()]
    assert names[:4] == ["conv1", "bn1", "spike1", "pool1"]
    assert names[-3:] == ["fc4", "bn4", "spike4"]
    assert sum(p.numel() for p in net.parameters() if p.dim() > 1) <= 150_000
    neurons = []
    for module in net.modules():
        if isinstance(module, neuron.BaseNode):
            module.register_forward_hook(lambda m, i, o: neurons.append(o[0, 0].numel()))
    spikes = net(torch.zeros(8, 3, 1, 8, 8))
    assert spikes.shape == (8, 3, 20)
    assert sum(neurons) <= 2500


def test_the_output_spikes_and_reset_makes_runs_equal() -> None:
    torch.manual_seed(0)
    net = build_net(TrainConfig())
    x = (torch.rand(8, 4, 1, 8, 8) < 0.5).float()
    first = net(x)
    functional.reset_net(net)
    assert torch.equal(first, net(x))
    assert set(first.unique().tolist()) <= {0.0, 1.0}


def test_if_neurons_do_not_leak() -> None:
    net = build_net(TrainConfig(net=NetConfig(neuron="if", channels=(4,), pool=(2,), hidden=())))
    assert [type(m) for m in net.modules() if isinstance(m, neuron.BaseNode)] == [neuron.IFNode] * 2


@pytest.mark.parametrize("pool", [(2,), (8, 8)])
def test_wrong_pooling(pool: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"net\.pool"):
        build_net(TrainConfig(net=NetConfig(pool=pool), data=DataConfig()))
