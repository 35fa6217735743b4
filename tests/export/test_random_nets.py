"""Random networks over all supported layers: torch, NIR in torch, the numpy reference and ONNX agree on every spike."""

from __future__ import annotations

import operator
import tempfile
import warnings
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import Tensor, nn

from filopodia import export, hardware
from filopodia.export.onnx_model import build, plan
from filopodia.export.onnx_run import run

CONNECT = {"add": operator.add, "and": operator.mul, "iand": lambda x, y: x * (1.0 - y)}


class Residual(nn.Module):
    """x connected with a layer of x, of the same shape and, for AND and IAND, both spikes."""

    def __init__(self, inner: nn.Module, connect: str) -> None:
        super().__init__()
        self.inner, self.connect = inner, connect

    def forward(self, x: Tensor) -> Tensor:
        return CONNECT[self.connect](x, self.inner(x))


class SideBySide(nn.Module):
    def __init__(self, left: nn.Module, right: nn.Module) -> None:
        super().__init__()
        self.left, self.right = left, right

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.left(x), self.right(x)], dim=2)


@st.composite
def neurons(draw: st.DrawFn, soft: bool) -> nn.Module:
    common: dict[str, Any] = {"v_threshold": draw(st.sampled_from([0.3, 0.5, 1.0])), "surrogate_function": surrogate.ATan()}
    common["v_reset"] = None if soft else 0.0
    tau = draw(st.sampled_from([1.5, 1.7, 2.0, 2.3, 4.0]))
    kind = draw(st.sampled_from(["if", "lif", "lif", "undivided", "parametric", "cuba"]))
    if kind == "if":
        return neuron.IFNode(**common)
    if kind == "parametric":
        return neuron.ParametricLIFNode(init_tau=tau, decay_input=draw(st.booleans()), **common)
    if kind == "cuba":
        return neuron.CUBALIFNode(draw(st.sampled_from([0.25, 0.3, 0.5])), draw(st.sampled_from([0.5, 0.75, 0.9])), **common)
    return neuron.LIFNode(tau=tau, decay_input=kind == "lif", **common)


@st.composite
def nets(draw: st.DrawFn) -> tuple[nn.Module, tuple[int, ...]]:
    """A multi-step network and its input's shape: convolutions in one or two dimensions, then dense layers."""
    soft = draw(st.booleans())
    rank = draw(st.sampled_from([1, 2]))
    convolution, norm = (layer.Conv1d, layer.BatchNorm1d) if rank == 1 else (layer.Conv2d, layer.BatchNorm2d)
    average, maximum = (layer.AvgPool1d, layer.MaxPool1d) if rank == 1 else (layer.AvgPool2d, layer.MaxPool2d)
    channels = draw(st.sampled_from([1, 2]))
    shape = (channels, *[draw(st.integers(8, 11)) for _ in range(rank)])
    parts: list[nn.Module] = []
    for _ in range(draw(st.integers(1, 2))):
        groups = draw(st.sampled_from([g for g in (1, 2) if channels % g == 0]))
        wide = draw(st.sampled_from([2, 4]))
        kernel = tuple(draw(st.sampled_from([1, 3])) for _ in range(rank))
        sizes = {
            "stride": draw(st.sampled_from([1, 1, 2])),
            "padding": draw(st.sampled_from([0, 1])),
            "dilation": draw(st.sampled_from([1, 2])),
        }
        sizes |= {"groups": groups, "bias": draw(st.booleans())}
        parts.append(convolution(channels, wide, kernel, **sizes))
        channels = wide
        if draw(st.booleans()):
            parts.append(norm(channels))
        parts.append(draw(neurons(soft)))
        if draw(st.booleans()):
            inner = nn.Sequential(convolution(channels, channels, 3, padding=1), norm(channels), draw(neurons(soft)))
            parts.append(Residual(inner, draw(st.sampled_from(sorted(CONNECT)))))
        elif draw(st.booleans()):
            left = nn.Sequential(convolution(channels, 2, 1), draw(neurons(soft)))
            parts.append(SideBySide(left, nn.Sequential(convolution(channels, 3, 1, bias=False), norm(3), draw(neurons(soft)))))
            channels = 5
    spiking = not (isinstance(parts[-1], Residual) and parts[-1].connect == "add")
    kind = draw(st.sampled_from(["none", "average", "max"] if spiking else ["none", "average"]))
    if kind != "none":
        parts.append(
            (average if kind == "average" else maximum)(
                2, stride=draw(st.sampled_from([1, 2])), padding=draw(st.sampled_from([0, 1]))
            )
        )
    parts += [layer.Flatten(), layer.Dropout(0.5)]
    with torch.no_grad():
        features = nn.Sequential(*parts).eval()
        functional.set_step_mode(features, "m")
        try:
            size = features(torch.zeros(1, 1, *shape)).shape[2]
        except RuntimeError:  # the image became smaller than a window
            return draw(nets())
        functional.reset_net(features)
    parts += [layer.Linear(size, 12), draw(neurons(soft))]
    if draw(st.booleans()):
        parts.append(layer.LinearRecurrentContainer(draw(neurons(soft)), 12, 12))
    parts += [layer.Linear(12, 6, bias=draw(st.booleans()))]
    end = draw(st.sampled_from(["spikes", "votes", "voltages"]))
    parts += {"spikes": [draw(neurons(soft))], "votes": [draw(neurons(soft)), layer.VotingLayer(2)], "voltages": []}[end]
    return nn.Sequential(*parts), shape


def ready(net: nn.Module, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, 0.05, 1.5 / module.weight[0].numel() ** 0.5)
            with torch.no_grad():
                module.weight[torch.rand_like(module.weight) < 0.3] = 0.0
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.weight, -1.5, 1.5)
            nn.init.uniform_(module.bias, 0.0, 0.5)
            nn.init.uniform_(module.running_mean, -0.3, 0.3)
            nn.init.uniform_(module.running_var, 0.05, 0.5)
    functional.set_step_mode(net, "m")
    for module in net.modules():
        if isinstance(module, layer.LinearRecurrentContainer):
            functional.set_step_mode(module.sub_module, "s")
    return net.eval()


@settings(max_examples=12, deadline=None, derandomize=True, phases=(Phase.generate,), suppress_health_check=list(HealthCheck))
@given(made=nets(), seed=st.integers(0, 1000))
def test_random_networks_spike_alike_everywhere(made: tuple[nn.Module, tuple[int, ...]], seed: int) -> None:
    net, shape = made
    net = ready(net, seed)
    sample = (torch.rand(6, 4, *shape) < 0.5).float()
    folded = export.fold(net, sample)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.filterwarnings("ignore", message=".*(subtraction|type_check)")
        export.to_nir(net, sample)
        path = export.write_nir(export.to_nir(folded, sample), Path(folder) / "net.nir")
        graph = nir.read(path, type_check=False)
        network = hardware.load(path)
    golden = export.golden(folded, sample)
    done = export.from_nir(graph).run(sample, record=golden.spikes)
    reference = hardware.simulate(network, sample.numpy())
    made_plan = plan(graph)
    onnx = run(build(made_plan, "scan", record=list(golden.spikes)), made_plan, "scan", {"input": sample.numpy()})
    for name, spikes in golden.spikes.items():
        assert np.array_equal(done.recorded[name].numpy(), spikes), name
        assert np.array_equal(reference.spikes[name], spikes), name
        assert np.array_equal(onnx[name], spikes), name
