"""The rivals: the same exact ending for all, and what makes each of them what it is."""

from __future__ import annotations

import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from filopodia.prune import PruneConfig, Pruner, TrainConfig, make_pruner
from filopodia.prune.rivals import GradR, RigL, SoftThreshold, SparseEvolution
from filopodia.prune.rivals.masked import erdos_renyi

METHODS = ["soft_threshold", "grad_r", "gradual_magnitude", "one_shot_magnitude", "random", "set", "rigl", "upr"]
STEPS = 90


def made(method: str, target: float = 0.8) -> tuple[nn.Module, torch.optim.Optimizer, Pruner]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 10), nn.ReLU(), nn.Linear(10, 3))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    config = TrainConfig(prune=PruneConfig(method=method, target_sparsity=target))
    pruner = make_pruner(net, optimizer, config, STEPS)
    assert pruner is not None
    return net, optimizer, pruner


def learn(net: nn.Module, optimizer: torch.optim.Optimizer, pruner: Pruner, steps: int) -> None:
    for _ in range(steps):
        torch.manual_seed(pruner.steps)
        x = torch.randn(8, 1, 6, 6)
        optimizer.zero_grad()
        nn.functional.mse_loss(net(x), x[:, 0, 2, :3]).backward()
        optimizer.step()
        pruner.step()


@pytest.mark.parametrize("method", METHODS)
def test_all_end_on_the_target_and_resume_bit_identical(method: str) -> None:
    parts = made(method)
    learn(*parts, 52)
    saved = pickle.dumps([part.state_dict() for part in parts])
    learn(*parts, STEPS - 52)
    twin = made(method)
    states = pickle.loads(saved)
    for index in (2, 0, 1):
        twin[index].load_state_dict(states[index])
    learn(*twin, STEPS - 52)
    net, _, pruner = parts
    assert pruner.frozen
    total = sum(p.numel() for p in (net[0].weight, net[3].weight, net[5].weight))
    before = net(torch.ones(1, 1, 6, 6))
    assert torch.equal(twin[0](torch.ones(1, 1, 6, 6)), before)
    zeros = round(pruner.sparsity() * total)
    # A weight that SET or RigL grew starts at zero, and stays there if its unit never fires.
    assert zeros == round(0.8 * total) or (method in ("set", "rigl") and zeros > round(0.8 * total))
    pruner.finalize()
    assert [type(part) for part in net] == [nn.Conv2d, nn.ReLU, nn.Flatten, nn.Linear, nn.ReLU, nn.Linear]
    assert torch.equal(net(torch.ones(1, 1, 6, 6)), before)


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=6), st.floats(0.05, 0.98))
def test_erdos_renyi_keeps_exactly_what_is_asked(shapes: list[tuple[int, int]], sparsity: float) -> None:
    sizes = [torch.Size(shape) for shape in shapes]
    kept = erdos_renyi(sizes, sparsity)
    total = sum(size.numel() for size in sizes)
    assert sum(kept) == total - round(sparsity * total)
    assert all(0 <= count <= size.numel() for count, size in zip(kept, sizes, strict=True))


@pytest.mark.parametrize("method", ["set", "rigl"])
def test_moving_keeps_every_layers_count(method: str) -> None:
    net, optimizer, pruner = made(method)
    assert isinstance(pruner, SparseEvolution)
    before = [int(mask.sum()) for mask in pruner.masks()]
    first = [mask.clone() for mask in pruner.masks()]
    learn(net, optimizer, pruner, 60)
    assert [int(mask.sum()) for mask in pruner.masks()] == before
    assert any(not torch.equal(a, b) for a, b in zip(first, pruner.masks(), strict=True))


def test_rigl_grows_where_the_gradient_is_largest() -> None:
    net, optimizer, pruner = made("rigl")
    assert isinstance(pruner, RigL)
    learn(net, optimizer, pruner, 49)
    before = pruner.masks()[1].clone()
    learn(net, optimizer, pruner, 1)
    grown = pruner.masks()[1] & ~before
    gradient = pruner.weights[1].theta.grad.abs()
    assert grown.any()
    assert gradient[grown].min() >= gradient[~before & ~grown].max()


def test_soft_threshold_gives_filopodia_no_gradient() -> None:
    net, optimizer, pruner = made("soft_threshold")
    assert isinstance(pruner, SoftThreshold)
    learn(net, optimizer, pruner, 60)
    weight = pruner.weights[1]
    dead = weight.weight() == 0
    optimizer.zero_grad()
    net(torch.randn(4, 1, 6, 6)).sum().backward()
    assert dead.any()
    assert not weight.theta.grad[dead].any()


def test_grad_r_never_changes_a_sign_and_starts_from_the_given_weights() -> None:
    torch.manual_seed(0)
    fresh = nn.Conv2d(1, 4, 3).weight.detach()
    net, optimizer, pruner = made("grad_r")
    assert isinstance(pruner, GradR)
    torch.testing.assert_close(net[0].weight.detach(), fresh, atol=1e-5, rtol=0)
    learn(net, optimizer, pruner, 80)
    assert (net[0].weight * fresh >= 0).all()
