"""Quantisation-aware fine-tuning: what it makes of a network, what it keeps, and what it refuses."""

from __future__ import annotations

from collections import OrderedDict
from fractions import Fraction

import pytest
import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import Tensor, nn

from filopodia.errors import InputError, UnsupportedError
from filopodia.prune import STDS, DataConfig, FixedPoint, FixedPointNode, NetConfig, TrainConfig, build_net, quantize_aware
from filopodia.prune.circuit import Spikes, follow


def spikes(*shape: int, seed: int = 0) -> Tensor:
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.4).float()


def lively(net: nn.Module) -> nn.Module:
    """BatchNorms with statistics and scales of their own, and a third of the weights zero."""
    torch.manual_seed(1)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                for values, low, high in (
                    (module.weight, -0.5, 2.0),
                    (module.bias, 0.6, 1.3),
                    (module.running_mean, -0.2, 0.2),
                    (module.running_var, 0.05, 0.5),
                ):
                    values.uniform_(low, high)
            elif isinstance(module, nn.Linear | nn.Conv2d):
                module.weight[torch.rand_like(module.weight) < 0.33] = 0.0
    return net.eval()


def run(net: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        out: Tensor = net(x)
    functional.reset_net(net)
    return out


def csnn(**changes: object) -> nn.Module:
    config = {"channels": (4, 6), "pool": (2, 1), "hidden": (12,)} | changes
    return lively(build_net(TrainConfig(net=NetConfig(**config))))  # type: ignore[arg-type]


def test_a_network_becomes_integers_between_fixed_point_neurons() -> None:
    net, x = csnn(), spikes(6, 4, 1, 8, 8)
    zeros = {name: p == 0 for name, p in net.named_parameters() if p.dim() > 1}
    before = run(net, x)
    quantized = quantize_aware(net, x)
    assert sorted(quantized.scales) == ["spike1", "spike2", "spike3", "spike4"]
    trained = run(net, x)
    assert float((trained != before).float().mean()) < 0.1  # rounding moves some spikes
    assert trained.any()
    quantized.finalize()
    assert torch.equal(run(net, x), trained)
    for name, parameter in net.named_parameters():
        assert type(net.get_submodule(name.rpartition(".")[0])) in (layer.Conv2d, layer.Linear)  # plain again
        if name in zeros:
            assert not parameter[zeros[name]].any()
    assert not [m for m in net.modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm1d | neuron.LIFNode)]
    # in units: weight × scale × the input's gain 1/τ, and 1/4 where pooled spikes come in
    for name, gain in {"conv1": 1 / 2, "conv2": 1 / 8, "fc3": 1 / 2}.items():
        whole = net.get_submodule(name).weight.detach() * quantized.scales[f"spike{name[-1]}"] * gain
        assert bool((whole % 2 == 0).all())
        assert 127 < float(whole.abs().max()) <= 254


def test_the_zeros_stay_and_the_network_learns() -> None:
    net, x = csnn(), spikes(4, 16, 1, 8, 8)
    zeros = {name: p == 0 for name, p in net.named_parameters() if p.dim() > 1}
    wanted = torch.nn.functional.one_hot(torch.arange(16) % 10, 10).repeat_interleave(2, 1).float() * 0.5
    quantized = quantize_aware(net, x)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.02, weight_decay=0.01)
    losses = []
    for _ in range(40):
        loss = (net(x).mean(0) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        functional.reset_net(net)
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.75 * losses[0]
    quantized.finalize()
    for name, parameter in net.named_parameters():
        assert name not in zeros or not parameter[zeros[name]].any()


def test_a_network_in_fixed_point_keeps_its_scales_and_integers() -> None:
    net, x = csnn(), spikes(6, 4, 1, 8, 8)
    first = quantize_aware(net, x)
    state, trained = first.finalize().state_dict(), run(net, x)
    second = quantize_aware(net, x)
    assert second.scales == first.scales
    assert torch.equal(run(net, x), trained)
    again = second.finalize().state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in state.items())


def test_a_pruner_is_finalized_first() -> None:
    net = csnn()
    pruner = STDS(net, target_sparsity=0.5, total_steps=1)
    with pytest.raises(UnsupportedError, match="conv1: is parametrized"):
        quantize_aware(net, spikes(1, 1, 1, 8, 8))
    pruner.step()
    pruner.finalize()
    zeros = [module.weight == 0 for module in net.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    assert sum(int(zero.sum()) for zero in zeros) > 0
    quantize_aware(net, spikes(1, 1, 1, 8, 8)).finalize()
    layers = [module for module in net.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    assert not any(layer.weight[zero].any() for layer, zero in zip(layers, zeros, strict=True))


def test_the_shortest_time_constant_fits_its_field() -> None:
    net = nn.Sequential(OrderedDict(a=layer.Linear(4, 3), n=neuron.LIFNode(tau=1.00001)))
    functional.set_step_mode(net, "m")
    quantize_aware(net, spikes(1, 1, 4))
    assert int(net.n.decay) == 4095


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_fewer_bits_mean_fewer_weights(bits: int) -> None:
    net, x = csnn(), spikes(2, 2, 1, 8, 8)
    quantize_aware(net, x, FixedPoint(bits)).finalize()
    for name in ("conv1", "conv2", "fc3", "fc4"):
        assert len(net.get_submodule(name).weight.unique()) <= 2**bits - 1


def test_sums_biases_and_thresholds_start_within_their_ranges() -> None:
    torch.manual_seed(0)
    parts = OrderedDict(fc=layer.Linear(600, 5), n=neuron.LIFNode(tau=2.0, v_threshold=400.0))
    net = nn.Sequential(parts)
    functional.set_step_mode(net, "m")
    with torch.no_grad():
        net.fc.weight.uniform_(0.9, 1.0)
        net.fc.bias.fill_(300.0)
    quantize_aware(net, spikes(1, 1, 600)).finalize()
    unit = float(net.n.scale) / 2
    weight, bias = net.fc.weight.detach(), net.fc.bias.detach()
    assert float((weight * unit).sum(1).max()) <= 2**15 / 2
    assert float((bias * unit).max()) <= 4095
    assert float(net.n.v_threshold * net.n.scale) <= 2**17 - 1


def test_every_kind_of_neuron_keeps_its_time_constant_and_reset() -> None:
    parts = OrderedDict(
        a=layer.Linear(5, 6),
        lif=neuron.LIFNode(tau=3.0, decay_input=False, v_reset=None),
        b=layer.Linear(6, 6),
        plif=neuron.ParametricLIFNode(init_tau=4.0),
        c=layer.Linear(6, 6),
        if_=neuron.IFNode(surrogate_function=surrogate.ATan()),
    )
    net = nn.Sequential(parts).eval()
    functional.set_step_mode(net, "m")
    quantize_aware(net, spikes(3, 2, 5)).finalize()
    assert (int(net.lif.decay), net.lif.decay_input, net.lif.v_reset) == (1365, False, None)
    assert (int(net.plif.decay), net.plif.decay_input, net.plif.v_reset) == (1024, True, 0.0)
    assert (int(net.if_.decay), net.if_.leaks) == (0, False)
    assert isinstance(net.if_.surrogate_function, surrogate.ATan)


@pytest.mark.parametrize(("node", "whole"), [(neuron.IFNode(v_threshold=5.0), 9), (neuron.LIFNode(v_threshold=5.0), 20)])
def test_whole_sums_reach_a_threshold_where_they_are_above_the_number_below_it(node: nn.Module, whole: int) -> None:
    net = nn.Sequential(OrderedDict(a=layer.Linear(2, 1), n=node))
    functional.set_step_mode(net, "m")
    with torch.no_grad():
        net.a.weight.copy_(torch.tensor([[127.0, -3.0]]))
        net.a.bias.zero_()
    quantize_aware(net, spikes(1, 1, 2))  # 2 units per 1 of the input, of which the LIF takes a half
    assert float(net.n.v_threshold * net.n.scale) == whole
    assert torch.equal(net.a.weight, torch.tensor([[127.0, -3.0]]))


def test_pooling_sums_and_loops_are_followed() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.n1 = layer.Conv2d(1, 2, 3, padding=1), neuron.IFNode()
            self.pool = layer.AvgPool2d(2)
            self.left, self.n2 = layer.Conv2d(2, 2, 1), neuron.IFNode()
            self.last, self.n3 = layer.Linear(32, 3), neuron.IFNode()

        def forward(self, x: Tensor) -> Tensor:
            x = self.pool(self.n1(self.first(x)))
            x = x + self.n2(self.left(x))
            y: Tensor = self.n3(self.last(x.flatten(2)))
            return y

    net = Branches()
    functional.set_step_mode(net, "m")
    circuit = follow(net, spikes(2, 1, 1, 8, 8))
    assert circuit.hears[net.left] == Spikes(Fraction(1, 4), Fraction(1))
    assert circuit.hears[net.last] == Spikes(Fraction(1, 4), Fraction(2))
    assert circuit.feeds[net.n3] == (net.last,)
    assert circuit.readouts == ()

    wide = nn.Sequential(layer.AdaptiveAvgPool2d(2), layer.Flatten(), layer.Linear(4, 3))
    functional.set_step_mode(wide, "m")
    circuit = follow(wide, torch.ones(1, 1, 1, 8, 8) * 100 / 255, Fraction(1, 255))
    assert circuit.hears[wide[2]] == Spikes(Fraction(1, 255 * 16), Fraction(127, 255))  # 100 takes 7 bits
    assert circuit.readouts == (wide[2],)

    recurrent = build_net(TrainConfig(data=DataConfig(name="fsdd"), net=NetConfig(name="recurrent", hidden=(7,))))
    circuit = follow(recurrent, spikes(3, 1, 80))
    assert circuit.hears[recurrent.rec2.rc] == Spikes()
    assert circuit.feeds[recurrent.rec2.sub_module] == (recurrent.rec2.rc,)


@pytest.mark.parametrize(
    ("parts", "what"),
    [
        ({"a": layer.Linear(4, 3), "n": neuron.QIFNode()}, "n: a QIFNode"),
        ({"a": layer.Linear(4, 3), "n": neuron.IFNode(v_reset=-1.0)}, "n: v_reset = -1"),
        ({"a": layer.Linear(4, 3), "b": layer.Linear(3, 3), "n": neuron.IFNode()}, "b: reads something"),
        ({"n": neuron.IFNode(), "a": layer.Linear(4, 3)}, "n: neurons that no weighted layer feeds"),
        ({"a": layer.Linear(4, 3), "v": neuron.NonSpikingIFNode()}, "v: a NonSpikingIFNode"),
        ({"a": layer.Linear(4, 3), "r": nn.ReLU(), "n": neuron.IFNode()}, "n: neurons that no weighted layer"),
        ({"a": layer.Linear(4, 3), "n": neuron.IFNode(v_threshold=0.0)}, "n: a threshold of 0"),
    ],
)
def test_what_has_no_fixed_point_is_named_and_nothing_is_changed(parts: dict[str, nn.Module], what: str) -> None:
    net = nn.Sequential(OrderedDict(parts))
    functional.set_step_mode(net, "m")
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(UnsupportedError) as told:
        quantize_aware(net, spikes(1, 2, 4))
    assert str(told.value).startswith(what)
    after = net.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_wrong_numbers_are_refused() -> None:
    net = nn.Sequential(OrderedDict(a=layer.Linear(4, 3), n=neuron.IFNode()))
    functional.set_step_mode(net, "m")
    with pytest.raises(InputError, match="2 to 8"):
        quantize_aware(net, spikes(1, 2, 4), FixedPoint(9))
    with pytest.raises(UnsupportedError, match="other than 0 and 1"):
        quantize_aware(net, torch.full((1, 2, 4), 0.5))
    with pytest.raises(UnsupportedError, match="between multiples of 1/255"):
        quantize_aware(net, torch.full((1, 2, 4), 0.5), input_step=Fraction(1, 255))
    before = net.a.weight.detach().clone()
    with pytest.raises(InputError, match=r"n: 12 of 12 weights round to zero, so that sums over 4 inputs stay within 4 units"):
        quantize_aware(net, spikes(1, 2, 4), FixedPoint(sum_limit=4))
    assert torch.equal(net.a.weight, before)
    with torch.no_grad():
        net.a.weight[0, 0] = float("nan")
    with pytest.raises(InputError, match="a: weights that are not finite"):
        quantize_aware(net, spikes(1, 2, 4))
    assert not any(isinstance(module, FixedPointNode) for module in net.modules())
