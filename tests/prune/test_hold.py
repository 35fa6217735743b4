"""Zeros of a finalized network under training that goes on."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from filopodia.prune import STDS, hold_zeros


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_zeros_stay_until_it_is_ended(kind: type[torch.optim.Optimizer]) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(9, 7), nn.ReLU(), nn.Linear(7, 2))
    pruner = STDS(net, total_steps=4, target_sparsity=0.7)
    for _ in range(4):
        pruner.step()
    pruner.finalize()
    zeros = [net[0].weight == 0, net[2].weight == 0]
    optimizer = kind(net.parameters(), lr=0.1, weight_decay=0.1)
    release = hold_zeros(net, optimizer)

    def step() -> None:
        optimizer.zero_grad()
        net(torch.randn(5, 9)).square().sum().backward()
        optimizer.step()

    for _ in range(3):
        step()
    assert torch.equal(net[0].weight == 0, zeros[0])
    assert torch.equal(net[2].weight == 0, zeros[1])
    release()
    step()
    assert not torch.equal(net[0].weight == 0, zeros[0])
