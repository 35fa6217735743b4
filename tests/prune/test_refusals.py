"""What a pruner is given, and what its state may hold: wrong values are refused before anything of the model changes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from filopodia.errors import FileError, FilopodiaError, InputError, TrainingError, UnsupportedError
from filopodia.prune import STDS, CostSTDS, Pruner
from filopodia.prune.rivals.growing import RigL
from filopodia.prune.rivals.magnitude import GradualMagnitude
from filopodia.prune.rivals.upr import UPR

NAN, INF = math.nan, math.inf
ALL: list[Callable[..., Pruner]] = [STDS, GradualMagnitude, RigL, UPR]


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1)


def refused(make: Callable[..., Pruner], words: str, model: nn.Module | None = None, **changes: Any) -> None:
    """Making the pruner fails with the words, and leaves the model as it was."""
    model = net() if model is None else model
    settings = {
        "optimizer": sgd(model) if list(model.parameters()) else None,
        "target_sparsity": 0.9,
        "total_steps": 10,
    } | changes
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(InputError, match=words):
        make(model, **settings)
    assert all(value.equal(before[name]) or value.isnan().any() for name, value in model.state_dict().items())


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("target", [0, 1, -0.1, 1.1, 90, NAN, INF, "0.9", True, [0.9], 0.9 + 0j])
def test_targets(make: Callable[..., Pruner], target: Any) -> None:
    refused(make, r"target_sparsity: found .*\n.*more than 0 and less than 1", target_sparsity=target)


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("steps", [0, -1, 1.5, 10.0, NAN, INF, None, "10", True])
def test_total_steps(make: Callable[..., Pruner], steps: Any) -> None:
    refused(make, r"total_steps: found .*\n.*at least 1 optimizer step\n.*epochs", total_steps=steps)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("threshold", [-1, NAN, INF, "1", True]),
        ("strength", [-1, NAN, INF, "1", True]),
        ("schedule", ["wave", 3]),
        ("start", [-0.1, 1.5, NAN, "0"]),
        ("end", [-1, 2, NAN, "1"]),
        ("freeze", [0.0, -1, 2, NAN, "1"]),
        ("control_every", [0, 1.5, "10"]),
        ("scales", [{"0": -1.0}, {"0": NAN}, {"0": "2"}, {"9": 1.0}]),
    ],
)
def test_settings_of_stds(name: str, values: list[Any]) -> None:
    for value in values:
        target = None if name in {"threshold", "strength"} else 0.9
        refused(STDS, name, **{"target_sparsity": target, name: value})


@pytest.mark.parametrize(
    "given", [{"threshold": 0.1}, {"strength": 0.1}, {"threshold": 0.1, "strength": 0.1, "target_sparsity": None}]
)
def test_two_targets_at_once(given: dict[str, Any]) -> None:
    refused(STDS, "2 of them given", **given)


@pytest.mark.parametrize("given", [{}, {"target_synops": 1e3, "target_synapse_sparsity": 0.5}])
def test_two_costs_at_once_or_none(given: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="none or both"):
        CostSTDS(net(), total_steps=10, **given)


@pytest.mark.parametrize(
    "given",
    [{"target_synops": v} for v in (0, -1, NAN, "1e3", True)] + [{"target_synapse_sparsity": v} for v in (0, 1, NAN, "1")],
)
def test_target_costs(given: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(given))):
        CostSTDS(net(), total_steps=10, **given)


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"layers": ["conv*"]}, r"no layer fits 'conv\*'\n.*0, 2"),
        ({"layers": [nn.Conv2d]}, "no layer fits"),
        ({"layers": "0"}, r"found '0'\n.*a list of names[\s\S]*layers=\['0'\]"),
        ({"layers": [3]}, "layers: found 3"),
        ({"layers": []}, "no layer is left"),
        ({"dense": ["*"]}, "no layer is left"),
        ({"dense": ["9"]}, "no layer fits '9'"),
        ({"dense": None}, "dense: found None"),
        ({"dense": [nn.Linear]}, "dense: found"),
    ],
)
def test_layers(make: Callable[..., Pruner], given: dict[str, Any], words: str) -> None:
    refused(make, words, **given)


@pytest.mark.parametrize("make", ALL)
def test_models_and_optimizers(make: Callable[..., Pruner]) -> None:
    refused(make, "no layer is left to prune", nn.Sequential(nn.ReLU()), optimizer=None)
    refused(make, "does not train 0, 2", optimizer=sgd(net()))
    model = net()
    refused(make, r"does not train 2[\s\S]*dense", model, optimizer=sgd(model[0]))
    refused(make, "optimizer: a str", optimizer="sgd")
    broken = net()
    broken[0].weight.data[0, 0] = NAN
    refused(make, "weight of 0: values that are not finite", broken)
    with pytest.raises(InputError, match="model: a str"):
        make("net", optimizer=None, target_sparsity=0.9, total_steps=10)


@pytest.mark.parametrize("make", ALL)
def test_steps_past_the_last_and_after_finalizing(make: Callable[..., Pruner]) -> None:
    model = net()
    optimizer = sgd(model)
    pruner = make(model, optimizer=optimizer, target_sparsity=0.9, total_steps=3)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.ones(2, 8)).sum().backward()
        optimizer.step()
        pruner.step()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(TrainingError, match="step 4 of 3"):
        pruner.step()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    pruner.finalize()
    with pytest.raises(TrainingError, match="is finalized"):
        pruner.step()


def test_a_model_pruned_already_in_its_last_layer_stays_plain_in_its_first() -> None:
    model = net()
    pruner = STDS(model, target_sparsity=0.9, total_steps=3, layers=["2"])
    before = list(model.state_dict())
    with pytest.raises(UnsupportedError, match="2: is parametrized already"):
        STDS(model, target_sparsity=0.9, total_steps=3)
    assert list(model.state_dict()) == before
    pruner.finalize()


def test_weights_that_are_no_numbers_stop_the_pruner() -> None:
    model = net()
    pruner = STDS(model, optimizer=sgd(model), target_sparsity=0.9, total_steps=100)
    pruner.weights[1].theta.data.fill_(NAN)
    with pytest.raises(TrainingError, match="step 1"):
        pruner.step()


def test_states() -> None:
    def pruner(model: nn.Module | None = None, steps: int = 10) -> STDS:
        return STDS(net() if model is None else model, target_sparsity=0.9, total_steps=steps)

    good = pruner().state_dict()
    wider = pruner(nn.Sequential(nn.Linear(8, 17), nn.ReLU(), nn.Linear(17, 4)))
    wider.freeze_now()
    bad: list[tuple[Any, str]] = [
        (None, "lacks"), ("state", "lacks"), ({}, "lacks method"), (pruner(steps=20).state_dict(), "total_steps 20"),
        (GradualMagnitude(net(), optimizer=None, target_sparsity=0.9, total_steps=10).state_dict(), "method GradualMagnitude"),
        (pruner(nn.Sequential(nn.Linear(8, 4))).state_dict(), "layers 0"), (wider.state_dict(), r"a mask of shape \[17, 8\]"),
        *(({key: value for key, value in good.items() if key != gone}, f"lacks {gone}") for gone in good),
    ]  # fmt: skip
    for state, words in bad:
        mine = pruner()
        mine.steps = 4
        with pytest.raises(FileError, match=words):
            mine.load_state_dict(state)
        assert mine.steps == 4
    assert issubclass(FileError, FilopodiaError)
