"""The trainer's shortcuts against the networks as they are: the same spikes, the same gradients."""

from __future__ import annotations

import pytest
import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import nn

from filopodia.prune.fused import FusedNeurons
from filopodia.prune.repeated import RepeatedInput
from filopodia.prune.synops import SynopMeter


def lif(tau: float = 2.0, **settings: object) -> neuron.LIFNode:
    return neuron.LIFNode(tau, surrogate_function=surrogate.ATan(), **{"detach_reset": True, "step_mode": "m", **settings})


def grads(net: nn.Module, x: torch.Tensor, passes: int = 1) -> list[torch.Tensor]:
    """Output of `passes` passes that hand on their state, and the gradients of input and parameters."""
    x = x.clone().requires_grad_()
    net.zero_grad()
    outputs = [net(x) for _ in range(passes)]
    weight = torch.linspace(-1, 1, outputs[0].numel()).view_as(outputs[0])
    sum((out * weight).sum() for out in outputs).backward()
    functional.reset_net(net)
    return [*outputs, x.grad, *(p.grad.clone() for p in net.parameters())]


@pytest.mark.parametrize(("tau", "threshold"), [(2.0, 1.0), (3.7, 0.6)])
@pytest.mark.parametrize("passes", [1, 2])
def test_fused_neurons_spike_and_learn_as_spikingjellys(tau: float, threshold: float, passes: int) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        layer.Linear(6, 9, step_mode="m"),
        lif(tau, v_threshold=threshold),
        layer.Linear(9, 4, step_mode="m"),
        lif(tau, v_threshold=0.1),
    )
    x = torch.randn(7, 5, 6) * 3
    plain = grads(net, x, passes)
    with FusedNeurons(net):
        assert "multi_step_forward" in vars(net[1])
        fused = grads(net, x, passes)
    assert "multi_step_forward" not in vars(net[1])
    assert plain[0].any()
    assert not plain[0].all()
    for one, other in zip(plain[:passes], fused[:passes], strict=True):
        assert torch.equal(one, other)
    for one, other in zip(plain[passes:], fused[passes:], strict=True):
        torch.testing.assert_close(one, other)


def test_other_neurons_are_left_alone() -> None:
    others = [lif(v_reset=None), lif(detach_reset=False), lif(decay_input=False), neuron.IFNode(step_mode="m")]
    others.append(neuron.LIFNode(surrogate_function=surrogate.Sigmoid(), detach_reset=True, step_mode="m"))
    net = nn.Sequential(*others)
    with FusedNeurons(net):
        assert not any("multi_step_forward" in vars(node) for node in net)


def test_repeated_input_is_computed_once_with_the_same_result() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        layer.Conv2d(1, 3, 3, padding=1),
        layer.BatchNorm2d(3),
        lif(),
        layer.Flatten(),
        layer.Linear(48, 5),
        lif(v_threshold=0.01),
    )
    functional.set_step_mode(net, "m")
    x = torch.rand(4, 2, 1, 4, 4)[:1].expand(4, 2, 1, 4, 4) * 3
    plain = grads(net, x)
    seen = []
    net[0].register_forward_hook(lambda module, inputs, output: seen.append(output.shape[0]))
    with SynopMeter(net) as meter, RepeatedInput(net):
        once = grads(net, x)
    assert seen == [1]
    assert meter.counts()["0"].sum() == 4 * 16  # the meter still counts every step
    assert plain[0].any()
    assert not plain[0].all()
    plain[1], once[1] = plain[1].sum(0), once[1].sum(0)  # of the input: all steps share one gradient
    for one, other in zip(plain, once, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
