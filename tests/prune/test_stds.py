"""The pruner: thresholds along their schedules, exact targets, the freeze, choosing layers, its state."""

from __future__ import annotations

import math
import pickle

import pytest
import torch
from spikingjelly.activation_based import layer
from torch import nn

from filopodia.errors import FileError, InputError, TrainingError, UnsupportedError
from filopodia.prune import STDS


def net(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(20, 30), nn.ReLU(), layer.Linear(30, 10, step_mode="s"), nn.ReLU(), nn.Linear(10, 3))


def learn(model: nn.Module, pruner: STDS, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for _ in range(steps):
        torch.manual_seed(pruner.steps)
        optimizer.zero_grad()
        x = torch.randn(16, 20)
        nn.functional.mse_loss(model(x), x[:, :3]).backward()
        optimizer.step()
        pruner.step()


def made(steps: int = 60, **settings: object) -> tuple[nn.Module, torch.optim.Optimizer, STDS]:
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    return model, optimizer, STDS(model, optimizer=optimizer, total_steps=steps, **settings)


@pytest.mark.parametrize("schedule", ["linear", "sine", "cubic", "cosine_lr"])
@pytest.mark.parametrize("target", [0.5, 0.9, 0.973])
def test_lands_exactly_on_the_target_and_stays(schedule: str, target: float) -> None:
    model, optimizer, pruner = made(target_sparsity=target, schedule=schedule)
    learn(model, pruner, optimizer, 60)
    assert pruner.frozen
    total = 20 * 30 + 30 * 10 + 10 * 3
    assert pruner.sparsity() == round(target * total) / total
    before = model(torch.ones(1, 20))
    assert pruner.finalize() is model
    assert torch.equal(model(torch.ones(1, 20)), before)
    assert [type(part) for part in model] == [nn.Linear, nn.ReLU, layer.Linear, nn.ReLU, nn.Linear]
    zeros = sum(int((part.weight == 0).sum()) for part in model if hasattr(part, "weight"))
    assert zeros == round(target * total)


def test_per_layer_targets_hold_in_each() -> None:
    model, optimizer, pruner = made(target_sparsity=0.8, per_layer=True)
    learn(model, pruner, optimizer, 60)
    assert [int((w.weight() == 0).sum()) for w in pruner.weights] == [480, 240, 24]


def test_sparsity_follows_its_curve_before_the_freeze() -> None:
    model, optimizer, pruner = made(100, target_sparsity=0.9, schedule="linear", end=0.8, freeze=0.9)
    found = []
    for _ in range(9):
        learn(model, pruner, optimizer, 10)
        found.append(pruner.sparsity())
    assert found[3] == pytest.approx(0.45, abs=0.1)
    assert found[7] == pytest.approx(0.9, abs=0.05)


def test_finalize_early_still_meets_the_target() -> None:
    model, optimizer, pruner = made(target_sparsity=0.9)
    learn(model, pruner, optimizer, 5)
    pruner.finalize()
    assert sum(int((part.weight == 0).sum()) for part in model if hasattr(part, "weight")) == round(0.9 * 930)


def test_open_loop_is_the_papers() -> None:
    _, _, pruner = made(50, threshold=0.3)
    for n in range(1, 51):
        pruner.step()
        expected = 0.3 * (1 - math.cos(math.pi * n / 50)) / 2
        assert pruner.weights[1].spine.threshold.item() == pytest.approx(expected, rel=1e-5)
    assert not pruner.frozen


def test_strength_grows_the_threshold_with_the_learning_rate() -> None:
    _, optimizer, pruner = made(10, strength=2.0)
    for rate in (0.1, 0.01, 0.05):
        optimizer.param_groups[0]["lr"] = rate
        pruner.step()
    assert pruner.d[0] == pytest.approx(0.32)
    assert pruner.strength == pytest.approx(2.0)


def test_inverse_start_keeps_the_first_weights() -> None:
    model = net()
    before = model[0].weight.detach().clone()
    STDS(model, total_steps=3, threshold=0.2, schedule="constant", inverse_start=True)
    torch.testing.assert_close(model[0].weight.detach(), before)


def test_layers_by_pattern_function_and_left_dense() -> None:
    def names(**settings: object) -> list[str]:
        return [weight.name for weight in STDS(net(), total_steps=3, **settings).weights]

    assert names() == ["0", "2", "4"]
    assert names(layers=["0", "[2-3]"]) == ["0", "2"]
    assert names(layers=lambda name, module: module.out_features > 5) == ["0", "2"]
    assert names(layers=[layer.Linear]) == ["2"]
    assert names(layers=[layer.Linear, "4"]) == ["2", "4"]
    assert names(dense=["4"]) == ["0", "2"]
    assert names(layers=["?"], dense=["0"]) == ["2", "4"]


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"target_sparsity": 1.0}, "more than 0 and less than 1"),
        ({"target_sparsity": 0.0}, "more than 0 and less than 1"),
        ({"target_sparsity": 0.5, "threshold": 1.0}, "exactly one"),
        ({"threshold": -1.0}, "0 or more"),
        ({"strength": 1.0}, "no optimizer"),
        ({"total_steps": 0}, "at least 1"),
        ({"layers": ["conv9"]}, "no layer fits 'conv9'"),
        ({"layers": [nn.Conv2d]}, "no layer fits .*Conv2d"),
        ({"dense": ["*"]}, "no layer is left"),
        ({"scales": {"9": 2.0}}, "no pruned layer '9'"),
        ({"end": 0.9, "freeze": 0.8}, "0 <= start < end <= freeze <= 1"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, object], part: str) -> None:
    with pytest.raises(InputError, match=part):
        STDS(net(), **{"total_steps": 10, **settings})


def test_shared_weights_are_refused() -> None:
    model = net()
    model.append(nn.Linear(10, 3))
    model[-1].weight = model[4].weight
    with pytest.raises(UnsupportedError, match="shares its weight with 4"):
        STDS(model, total_steps=10)


def test_overrun_changes_nothing() -> None:
    model, optimizer, pruner = made(6)
    learn(model, pruner, optimizer, 6)
    before = [weight.weight() for weight in pruner.weights]
    with pytest.raises(TrainingError, match="step 7 of 6"):
        pruner.step()
    assert all(torch.equal(a, b.weight()) for a, b in zip(before, pruner.weights, strict=True))
    assert pruner.steps == 6


@pytest.mark.parametrize("taken", [17, 52])
@pytest.mark.parametrize("settings", [{"target_sparsity": 0.9}, {"threshold": 0.1}, {"strength": 0.05, "freeze": 1.0}])
def test_resumed_from_its_state_it_ends_bit_identical(taken: int, settings: dict[str, object]) -> None:
    model, optimizer, pruner = made(**settings)
    learn(model, pruner, optimizer, taken)
    saved = pickle.dumps((model.state_dict(), optimizer.state_dict(), pruner.state_dict()))
    learn(model, pruner, optimizer, 60 - taken)
    again, other, second = made(**settings)
    for part, state in zip((second, again, other), [pickle.loads(saved)[i] for i in (2, 0, 1)], strict=True):
        part.load_state_dict(state)
    learn(again, second, other, 60 - taken)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    assert second.state_dict()["d"] == pruner.state_dict()["d"]


def test_state_of_another_net_is_refused() -> None:
    _, _, pruner = made()
    with pytest.raises(FileError, match="layers 0, 2"):
        pruner.load_state_dict(STDS(net(), total_steps=60, dense=["4"]).state_dict())
    with pytest.raises(FileError, match="total_steps 61"):
        pruner.load_state_dict(STDS(net(), total_steps=61).state_dict())


def test_momentum_cannot_bring_a_pruned_spine_back() -> None:
    model, optimizer, pruner = made(100, target_sparsity=0.9, end=0.2, freeze=0.3)
    learn(model, pruner, optimizer, 31)
    zeros = [weight.weight() == 0 for weight in pruner.weights]
    learn(model, pruner, optimizer, 69)
    for zero, weight in zip(zeros, pruner.weights, strict=True):
        assert torch.equal(weight.weight() == 0, zero)
        assert not weight.theta[zero].any()
        assert not optimizer.state[weight.theta]["exp_avg"][zero].any()
