"""Synapses and synops against counting them one by one."""

from __future__ import annotations

import pytest
import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import nn

from filopodia.prune.synops import SynopMeter, SynopPenalty, expansion, fan_out, layer_costs, uses


def brute_force(module: nn.Module, spikes: torch.Tensor) -> tuple[int, int]:
    """Synapses and synops by pushing one input element after another through |w| > 0."""
    mask = (module.weight != 0).float()
    synapses = synops = 0
    for index in range(spikes.numel()):
        x = torch.zeros(spikes.numel())
        x[index] = 1
        with torch.no_grad():
            plain = nn.functional.linear(x, mask) if isinstance(module, nn.Linear) else None
            out = plain if plain is not None else module._conv_forward(x.view(1, *spikes.shape), mask, None)
        synapses += int(out.sum())
        synops += int(out.sum() * spikes.flatten()[index])
    return synapses, synops


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Linear(12, 5), (12,)),
        (nn.Conv2d(3, 4, 3, padding=1), (3, 5, 6)),
        (nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=2), (4, 7, 7)),
        (nn.Conv1d(2, 3, 3, dilation=2), (2, 11)),
    ],
)
def test_counts_equal_brute_force(module: nn.Module, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        module.weight[torch.rand_like(module.weight) < 0.6] = 0
    spikes = torch.randint(0, 5, shape).float()
    alive = module.weight != 0
    synapses, synops = brute_force(module, spikes)
    assert int(expansion(module, shape)[alive].sum()) == synapses
    assert int(uses(module, spikes)[alive].sum()) == synops
    out = fan_out(module, alive, shape)
    assert (int(out.sum()), int((out * spikes).sum())) == (synapses, synops)


def chain() -> nn.Sequential:
    net = nn.Sequential(
        layer.Conv2d(1, 3, 3, padding=1),
        neuron.IFNode(),
        layer.AvgPool2d(2),
        layer.Flatten(),
        layer.Linear(12, 4),
        neuron.IFNode(),
    )
    functional.set_step_mode(net, "m")
    return net


def test_pooled_spikes_count_as_the_spikes_they_came_from() -> None:
    torch.manual_seed(0)
    net = chain()
    x = (torch.rand(6, 5, 1, 4, 4) < 0.5).float()
    fired = []
    handle = net[1].register_forward_hook(lambda module, inputs, output: fired.append(output.sum().item()))
    with SynopMeter(net) as meter:
        net(x)
    handle.remove()
    costs = layer_costs(meter)
    assert costs["4"].synops == pytest.approx(fired[0] * 4 / 5)
    assert costs["4"].synops == costs["4"].dense_synops
    assert not costs["0"].analog
    assert costs["0"].synapses == 3 * (3 * 4 - 2) ** 2


def test_values_instead_of_spikes_are_analog() -> None:
    net = chain()
    with SynopMeter(net) as meter:
        net(torch.full((2, 1, 1, 4, 4), 0.5))
    costs = layer_costs(meter)
    assert costs["0"].analog
    assert not costs["4"].analog
    assert costs["0"].synops == 2 * 3 * 100


def test_the_penalty_counts_as_the_meter_does_and_reaches_the_neurons_that_spend() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        layer.Conv2d(1, 3, 3, padding=1),
        neuron.IFNode(surrogate_function=surrogate.ATan()),
        layer.AvgPool2d(2),
        layer.Conv2d(3, 2, 3, padding=1),
        neuron.IFNode(surrogate_function=surrogate.ATan()),
        layer.Flatten(),
        layer.Linear(8, 4),
    )
    functional.set_step_mode(net, "m")
    with torch.no_grad():
        net[0].weight.mul_(4)
        net[3].weight[:, 0] = 0.0
        net[6].weight[1:] = 0.0
    x = torch.rand(5, 7, 1, 4, 4)
    with SynopMeter(net) as meter:
        net(x)
    functional.reset_net(net)
    counted = {name: cost.synops * 7 for name, cost in layer_costs(meter).items()}
    spent = sum(counted.values()) - counted["0"]
    most = 5 * 7 * (int(expansion(net[3], (3, 2, 2)).sum()) * 4 + 8 * 4)
    with SynopPenalty(net) as penalty:
        net(x)
        share = penalty.share()
    assert spent > 0
    assert float(share.detach()) == pytest.approx(spent / most, rel=1e-5)
    assert penalty.spent() == pytest.approx(sum(counted.values()), rel=1e-5)
    share.backward()
    assert not net[0].weight.grad[0].any()  # its spikes meet no living synapse
    assert net[0].weight.grad[1:].any()
