"""θ to w: exact values, the identity gradient, freezing, and what copying and saving must keep."""

from __future__ import annotations

import copy
import pickle

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from filopodia.errors import UnsupportedError
from filopodia.prune import SpineSize, spine_size, spine_weight
from filopodia.prune.attach import attach, detach, spine_of, theta_of

THETAS = arrays.arrays(np.float32, st.integers(1, 40), elements=st.floats(-4, 4, width=32))
THRESHOLDS = st.floats(0, 3, width=32)


@given(THETAS, THRESHOLDS)
def test_weight_is_the_formula(theta: np.ndarray, d: float) -> None:
    expected = np.sign(theta) * np.maximum(np.abs(theta) - np.float32(d), 0)
    found = spine_weight(torch.from_numpy(theta), torch.tensor(d)).numpy()
    np.testing.assert_array_equal(found, expected)
    assert not np.signbit(found[np.abs(theta) <= d]).any()  # +0, never -0


@given(THETAS, THRESHOLDS)
def test_gradient_is_the_identity_also_at_zero(values: np.ndarray, d: float) -> None:
    theta = torch.from_numpy(np.append(values, np.float32(0))).requires_grad_()
    gradient = torch.linspace(-1, 1, theta.numel())
    spine_weight(theta, torch.tensor(d)).backward(gradient)
    assert theta.grad is not None
    assert torch.equal(theta.grad, gradient)


@given(THETAS, THRESHOLDS)
def test_inverse_map_gives_the_weight_back(values: np.ndarray, d: float) -> None:
    weight, threshold = torch.from_numpy(values), torch.tensor(d)
    torch.testing.assert_close(spine_weight(spine_size(weight, threshold), threshold), weight, atol=1e-6, rtol=0)


def test_backward_keeps_no_tensor() -> None:
    saved: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        spine_weight(torch.randn(5, requires_grad=True), torch.tensor(0.1))
    assert not saved


def layer(d: float = 0.1) -> nn.Linear:
    torch.manual_seed(0)
    made = nn.Linear(6, 4)
    attach(made, "weight", SpineSize(made.weight))
    spine_of(made, "weight").threshold.fill_(d)
    return made


def test_attach_keeps_the_parameter_an_optimizer_holds() -> None:
    plain = nn.Linear(3, 2)
    before, values = plain.weight, plain.weight.detach().clone()
    theta = attach(plain, "weight", SpineSize(plain.weight))
    assert theta is before
    assert torch.equal(plain.weight, values)


def test_attach_twice_is_refused() -> None:
    made = layer()
    with pytest.raises(UnsupportedError, match="parametrized already"):
        attach(made, "weight", SpineSize(made.weight))


@pytest.mark.parametrize("frozen", [False, True])
def test_deepcopy_and_pickle_keep_the_weight_and_its_gradient(frozen: bool) -> None:
    made = layer()
    if frozen:
        spine_of(made, "weight").freeze(theta_of(made, "weight"), made.weight != 0)
    for twin in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert torch.equal(twin.weight, made.weight)
        assert torch.equal(theta_of(twin, "weight"), theta_of(made, "weight"))
        twin.weight.sum().backward()
        expected = (made.weight != 0).float() if frozen else torch.ones(4, 6)
        assert torch.equal(theta_of(twin, "weight").grad, expected)
        spine_of(twin, "weight").threshold.fill_(9.0)
        assert frozen or not twin.weight.any()
        assert made.weight.any()


def test_pickled_with_its_optimizer_it_still_trains() -> None:
    made = layer()
    twin, optimizer = pickle.loads(pickle.dumps((made, torch.optim.SGD(made.parameters(), lr=1.0))))
    twin.weight.sum().backward()
    optimizer.step()
    torch.testing.assert_close(theta_of(twin, "weight"), theta_of(made, "weight") - 1)


def test_state_dict_carries_threshold_and_mask() -> None:
    made = layer()
    spine_of(made, "weight").freeze(theta_of(made, "weight"), made.weight != 0)
    fresh = layer(0.0)
    fresh.load_state_dict(made.state_dict())
    assert torch.equal(fresh.weight, made.weight)
    assert spine_of(fresh, "weight").frozen
    fresh.load_state_dict(layer(0.2).state_dict())  # and back to one that is not frozen
    assert not spine_of(fresh, "weight").frozen


def test_frozen_entries_stay_zero_under_momentum_and_decay() -> None:
    made = layer()
    dead = made.weight.detach() == 0
    assert dead.any()
    optimizer = torch.optim.SGD(made.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    made(torch.ones(2, 6)).sum().backward()
    optimizer.step()
    spine_of(made, "weight").freeze(theta_of(made, "weight"), ~dead)
    for _ in range(3):
        optimizer.step()  # momentum of before the freeze is still there
    assert (made.weight[dead] == 0).all()
    detach(made, "weight")
    assert type(made) is nn.Linear
    assert (made.weight[dead] == 0).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_keeps_theta_and_zeros(dtype: torch.dtype) -> None:
    made = layer()
    with torch.autocast("cpu", dtype=dtype):
        out = made(torch.eye(6))
    assert out.dtype == dtype
    assert made.weight.dtype == torch.float32
    out.float().sum().backward()
    assert torch.equal(theta_of(made, "weight").grad, torch.ones(4, 6))
