"""The ANN of a spiking network: its shape, its numbers of few bits against torch's own, and its scores."""

from __future__ import annotations

import msgspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikingjelly.activation_based import neuron
from torch import nn

from filopodia import prune
from filopodia.errors import InputError, UnsupportedError
from filopodia.prune.ann import ann_of, layer_sparsities, prune_layers, still, train_anns
from filopodia.prune.config import DataConfig, NetConfig, PruneConfig, TrainConfig
from filopodia.prune.data import Samples
from filopodia.prune.nets import build_net
from filopodia.prune.rounding import RoundedInput, RoundedWeight, round_to

SMALL = TrainConfig(
    data=DataConfig(train_samples=600),
    batch_size=16,
    net=NetConfig(channels=(4, 8), pool=(2, 2), hidden=(16,), votes=1),
    prune=PruneConfig(target_sparsity=0.5),
    epochs=4,
)


@pytest.mark.parametrize("name", ["digits", "sew-resnet18", "mnist-mlp"])
def test_the_ann_has_the_spiking_networks_weights_and_no_neurons(name: str) -> None:
    torch.manual_seed(0)
    spiking = build_net(prune.recipe(name))
    ann = ann_of(spiking)
    assert not any(isinstance(module, neuron.BaseNode) for module in ann.modules())
    assert any(isinstance(module, neuron.BaseNode) for module in spiking.modules())
    assert {key: value.shape for key, value in ann.state_dict().items()} == {
        key: value.shape for key, value in spiking.state_dict().items()
    }
    shape = {"digits": (1, 8, 8), "sew-resnet18": (3, 32, 32), "mnist-mlp": (1, 28, 28)}[name]
    scores = ann.eval()(torch.rand(1, 2, *shape))
    assert scores.shape[:2] == (1, 2)
    assert (scores < 0).any()  # the last layer's sums, not rectified


def test_a_recurrent_network_has_none() -> None:
    with pytest.raises(UnsupportedError, match="a recurrent layer"):
        ann_of(build_net(prune.recipe("fsdd")))


@given(st.integers(2, 8), st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_weights_are_rounded_as_torch_rounds_them(bits: int, seed: int) -> None:
    weight = torch.randn(5, 3, 2, 2, generator=torch.Generator().manual_seed(seed))
    weight[:, 0] = 0
    rounded = RoundedWeight(bits)(weight)
    levels = 2 ** (bits - 1) - 1
    size = weight.flatten(1).abs()
    step = torch.minimum(size.amax(1) / levels, 2 * size.sum(1) / (size > 0).sum(1) / levels**0.5)
    theirs = torch.fake_quantize_per_channel_affine(weight, step, torch.zeros(5, dtype=torch.int32), 0, -levels, levels)
    torch.testing.assert_close(rounded, theirs)
    assert (rounded[:, 0] == 0).all()
    assert all(len(row.unique()) <= 2 * levels + 1 for row in rounded.flatten(1))


def test_a_weight_of_one_bit_has_two_values() -> None:
    rounded = RoundedWeight(1)(torch.tensor([[1.0, -3.0], [0.5, 0.5]]))
    torch.testing.assert_close(rounded, torch.tensor([[2.0, -2.0], [0.5, 0.5]]))
    with pytest.raises(InputError, match="bits"):
        RoundedWeight(0)


@given(st.integers(1, 8), st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_inputs_are_rounded_as_torch_rounds_them(bits: int, seed: int) -> None:
    values = torch.rand(200, generator=torch.Generator().manual_seed(seed)) ** 3
    rounding = RoundedInput(bits)
    rounded = rounding(values)
    top = rounding.top.item()
    assert 0 < top <= float(values.max())
    theirs = torch.fake_quantize_per_tensor_affine(values, top / (2**bits - 1), 0, 0, 2**bits - 1)
    torch.testing.assert_close(rounded.detach(), theirs, atol=1e-6, rtol=1e-5)


def test_gradients_pass_the_rounding_and_reach_the_top_where_it_holds() -> None:
    weight = nn.Parameter(torch.tensor([[0.3, -0.7]]))
    RoundedWeight(4)(weight).sum().backward()
    torch.testing.assert_close(weight.grad, torch.ones(1, 2))
    rounding = RoundedInput(4)
    rounding.top.data.fill_(1.0)
    values = torch.tensor([0.2, 3.0, 5.0], requires_grad=True)
    rounding(values).sum().backward()
    torch.testing.assert_close(values.grad, torch.tensor([1.0, 0.0, 0.0]))
    torch.testing.assert_close(rounding.top.grad, torch.tensor(2.0))


def test_eight_bits_change_little_and_two_change_much() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 5))
    values = torch.rand(50, 20)
    exact = net(values).detach()
    errors = []
    for bits in (8, 2):
        coarse = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 5))
        coarse.load_state_dict(net.state_dict())
        errors.append(((round_to(coarse, bits, values)(values) - exact).std() / exact.std()).item())
    assert errors[0] < 0.02 < 0.1 < errors[1]


def test_layers_are_pruned_to_their_own_sparsity() -> None:
    net = ann_of(build_net(SMALL))
    targets = {name: 0.25 * index for index, name in enumerate(layer_sparsities(net))}
    largest = net.get_submodule("conv2").weight.abs().max().item()
    prune_layers(net, targets, 1.0)
    for name, sparsity in layer_sparsities(net).items():
        assert sparsity == pytest.approx(targets[name], abs=1 / net.get_submodule(name).weight.numel())
    assert net.get_submodule("conv2").weight.abs().max().item() == largest


def test_scores_are_those_of_the_same_training_each_time() -> None:
    spiking = build_net(SMALL)
    targets = dict.fromkeys(layer_sparsities(spiking), 0.5)
    said: list[str] = []
    first = train_anns(SMALL, targets, 4, samples=200, progress=lambda what, at, of: said.append(f"{what} of {of}"))
    assert first == train_anns(SMALL, targets, 4, samples=200)
    assert said[0] == "ANN, epoch 1 of 4"
    assert said[-1] == "4-bit QNN, epoch 2 of 2"
    assert (first.samples, first.epochs, first.bits) == (200, 4, 4)
    for right in (first.fp32, first.int8, first.pruned_int8, first.qnn):
        assert 120 < right <= 200


def test_a_steps_gradient_leaves_pruned_weights_at_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = []
    real = round_to

    def watched(net: nn.Module, bits: int, seen: torch.Tensor) -> nn.Module:
        kept.append(layer_sparsities(net))
        return real(net, bits, seen)

    monkeypatch.setattr("filopodia.prune.ann.round_to", watched)
    targets = dict.fromkeys(layer_sparsities(build_net(SMALL)), 0.75)
    train_anns(msgspec.structs.replace(SMALL, epochs=2), targets, 3, samples=10)
    assert [round(min(one.values()), 2) for one in kept] == [0.0, 0.75, 0.0]  # int8, pruned, QNN


def test_samples_in_steps_become_their_mean() -> None:
    frames = torch.tensor([[[0, 1], [1, 1], [0, 1], [0, 1]]], dtype=torch.uint8)
    torch.testing.assert_close(still(Samples(frames, torch.tensor([3])), timed=True).images, torch.tensor([[0.25, 1.0]]))
