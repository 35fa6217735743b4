"""Every kind of layer and connection: the same spikes in torch, NIR and back, the numpy reference, and ONNX."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import Tensor, nn

from filopodia import export, hardware

ATAN = {"surrogate_function": surrogate.ATan()}


def lif(tau: float = 2.0, **settings: Any) -> nn.Module:
    return neuron.LIFNode(tau=tau, **{**ATAN, **settings})


class Block(nn.Module):
    """A residual block whose connect function is given, and what may follow it."""

    def __init__(self, connect: Callable[[Tensor, Tensor], Tensor], tail: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv1, self.bn1, self.sn1 = layer.Conv2d(2, 4, 3, padding=1, bias=False), layer.BatchNorm2d(4), lif()
        self.conv2, self.bn2, self.sn2 = layer.Conv2d(4, 4, 3, padding=1, bias=False), layer.BatchNorm2d(4), lif()
        self.pool, self.fc, self.out = layer.MaxPool2d(2), layer.Linear(64, 8), lif()
        self.connect, self.tail = connect, tail

    def forward(self, x: Tensor) -> Tensor:
        a = self.sn1(self.bn1(self.conv1(x)))
        b = self.sn2(self.bn2(self.conv2(a)))
        y = self.connect(a, b)
        y = self.pool(y) if self.tail is None else self.tail(y)
        return self.out(self.fc(y.flatten(2)))


def merged_pool(x: Tensor) -> Tensor:
    """A function between modules on steps and samples in one axis."""
    return F.avg_pool2d(x.flatten(0, 1), 2).unflatten(0, x.shape[:2])


class Concatenation(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.s1 = layer.Conv2d(2, 4, 3, padding=1), lif()
        self.right, self.s2 = layer.Conv2d(2, 3, 3, padding=1), lif()
        self.conv, self.bn, self.s3 = layer.Conv2d(7, 5, 3, bias=False), layer.BatchNorm2d(5), lif()
        self.fc, self.s4 = layer.Linear(7 * 64, 6), lif()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        both = torch.cat([self.s1(self.left(x)), self.s2(self.right(x))], 2)
        return self.s3(self.bn(self.conv(both))), self.s4(self.fc(both.flatten(2)))


class Shared(nn.Module):
    """A convolution and a BatchNorm used twice, and constants added: a number and a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.s1, self.s2 = layer.Conv2d(2, 2, 3, padding=1, bias=False), layer.BatchNorm2d(2), lif(), lif()
        self.offset = nn.Parameter(torch.rand(2, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.s1(self.bn(self.conv(x)) + 0.1)
        return self.s2(self.bn(self.conv(y)) + self.offset * 0.5)


class TwoInputs(nn.Module):
    """Two inputs by name, two outputs in a dict, one of them without spikes."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.sound, self.s = layer.Linear(12, 10), layer.Linear(7, 10, bias=False), lif()
        self.fc, self.voltage = layer.Linear(10, 4), neuron.NonSpikingLIFNode(tau=3.0)

    def forward(self, picture: Tensor, audio: Tensor) -> dict[str, Tensor]:
        hidden = self.s(self.image(picture) + self.sound(audio))
        return {"hidden": hidden, "voltage": torch.stack(self.voltage(self.fc(hidden)))}


def sequential(*modules: nn.Module) -> nn.Module:
    return nn.Sequential(*modules)


NETS: dict[str, tuple[Callable[[], nn.Module], Any]] = {
    "sew add": (lambda: Block(operator.add, merged_pool), (2, 8, 8)),
    "sew and": (lambda: Block(operator.mul, None), (2, 8, 8)),
    "sew iand": (lambda: Block(lambda x, y: x * (1.0 - y), None), (2, 8, 8)),
    "difference and factor": (lambda: Block(lambda x, y: (x - y) * 0.5 + y / 2, merged_pool), (2, 8, 8)),
    "the same tensor twice": (lambda: Block(lambda x, y: y + y, merged_pool), (2, 8, 8)),
    "in place": (lambda: Block(lambda x, y: y.clone().add_(x), merged_pool), (2, 8, 8)),
    "concatenation": (Concatenation, (2, 8, 8)),
    "shared": (Shared, (2, 8, 8)),
    "two inputs": (TwoInputs, ((12,), (7,))),
    "groups, kernels, dilation": (
        lambda: sequential(
            layer.Conv2d(4, 8, (3, 5), padding=(1, 2), groups=2, bias=False),
            layer.BatchNorm2d(8),
            lif(),
            layer.Conv2d(8, 8, 3, dilation=2, stride=2, groups=8),
            lif(),
            layer.AdaptiveAvgPool2d(1),
            layer.Flatten(),
            layer.Linear(8, 5),
            neuron.IFNode(**ATAN),
        ),
        (4, 10, 10),
    ),
    "one dimension": (
        lambda: sequential(
            layer.Conv1d(3, 8, 5, padding="same", bias=False),
            layer.BatchNorm1d(8),
            lif(),
            layer.MaxPool1d(2),
            layer.Conv1d(8, 8, 3, groups=4),
            lif(),
            layer.AvgPool1d(2),
            layer.Flatten(),
            layer.Linear(56, 6),
            lif(),
        ),
        (3, 32),
    ),
    "recurrent containers": (
        lambda: sequential(
            layer.Linear(20, 16),
            lif(),
            layer.LinearRecurrentContainer(lif(), 16, 16),
            layer.Linear(16, 8),
            layer.ElementWiseRecurrentContainer(lif(), operator.add),
        ),
        (20,),
    ),
    "parametric lif": (
        lambda: sequential(
            layer.Linear(20, 30),
            neuron.ParametricLIFNode(init_tau=1.9, **ATAN),
            layer.Linear(30, 10),
            neuron.ParametricLIFNode(init_tau=3.0, decay_input=False, **ATAN),
        ),
        (20,),
    ),
    "cuba lif": (
        lambda: sequential(
            layer.Linear(20, 30), neuron.CUBALIFNode(0.3, 0.8), layer.Linear(30, 10), neuron.CUBALIFNode(0.5, 0.6)
        ),
        (20,),
    ),
    "soft reset": (
        lambda: sequential(layer.Linear(20, 30), lif(v_reset=None), layer.Linear(30, 10), neuron.IFNode(v_reset=None)),
        (20,),
    ),
    "reset to a voltage": (
        lambda: sequential(layer.Linear(20, 30), lif(v_reset=-0.2), layer.Linear(30, 10), neuron.IFNode(v_reset=0.1)),
        (20,),
    ),
    "simple neurons": (
        lambda: sequential(layer.Linear(20, 30), neuron.SimpleLIFNode(2.0, True), layer.Linear(30, 10), neuron.SimpleIFNode()),
        (20,),
    ),
    "containers": (
        lambda: sequential(
            layer.SeqToANNContainer(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.AvgPool2d(2)),
            lif(),
            layer.MultiStepContainer(nn.Conv2d(4, 4, 3), lif()),
            nn.Flatten(2),
            nn.Linear(4, 4),
            lif(),
        ),
        (2, 8, 8),
    ),
    "read-out without spikes": (
        lambda: sequential(layer.Linear(20, 16), lif(), layer.Linear(16, 4), neuron.NonSpikingIFNode(decode="mean-mem")),
        (20,),
    ),
    "votes of three": (lambda: sequential(layer.Linear(20, 12), lif(), layer.VotingLayer(3)), (20,)),
    "batch norm alone": (lambda: sequential(layer.BatchNorm2d(2), lif(), layer.Conv2d(2, 3, 3), lif()), (2, 8, 8)),
}


def build(name: str, seed: int = 0) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """A net of the table in evaluation mode, with weights that make it spike, and input spikes."""
    torch.manual_seed(seed)
    make, shape = NETS[name]
    net = make()
    for module in net.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, 0.03, 1.5 / module.weight[0].numel() ** 0.5)
        if hasattr(module, "v_threshold"):
            module.v_threshold = 0.4
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, 0.0, 0.5)
            nn.init.uniform_(module.running_var, 0.05, 0.2)
    functional.set_step_mode(net, "m")
    for module in net.modules():
        if isinstance(module, layer.MultiStepContainer):
            functional.set_step_mode(module[1], "s")
        if isinstance(module, layer.LinearRecurrentContainer | layer.ElementWiseRecurrentContainer):
            functional.set_step_mode(module.sub_module, "s")
    shapes = shape if isinstance(shape[0], tuple) else (shape,)
    return net.eval(), tuple((torch.rand(10, 8, *s) < 0.4).float() for s in shapes)


def exported(net: nn.Module, sample: tuple[Tensor, ...], path: Path) -> nir.NIRGraph:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(subtraction|other than 0)")
        graph = export.to_nir(net, sample)
    return nir.read(export.write_nir(graph, path))


@pytest.mark.parametrize("name", NETS)
def test_the_same_spikes_everywhere(name: str, tmp_path: Path) -> None:
    net, sample = build(name)
    graph = exported(net, sample, tmp_path / "net.nir")
    golden = export.golden(net, sample)
    inputs = dict(zip(golden.inputs, sample, strict=True))
    done = export.from_nir(graph).run(inputs, record=golden.spikes)
    reference = hardware.simulate(hardware.load(tmp_path / "net.nir"), {n: x.numpy() for n, x in inputs.items()})
    assert any(0.0 < spikes.mean() < 1.0 for spikes in golden.spikes.values())
    for layer_name, spikes in golden.spikes.items():
        assert spikes.any(), layer_name
        assert np.array_equal(done.recorded[layer_name].numpy(), spikes), layer_name
        assert np.array_equal(reference.spikes[layer_name], spikes), layer_name
    for form in ("scan", "step"):
        export.to_onnx(graph, sample, tmp_path / f"{form}.onnx", form=form)


@pytest.mark.parametrize("name", sorted(set(NETS) - {"shared"}))
def test_a_folded_model_says_the_same_and_its_sums_are_exact(name: str, tmp_path: Path) -> None:
    net, sample = build(name)
    folded = export.fold(net, sample)
    before, after = export.golden(net, sample), export.golden(folded, sample)
    for layer_name, spikes in before.spikes.items():
        assert np.array_equal(after.spikes[layer_name], spikes)  # these nets have no ties
    graph = exported(folded, sample, tmp_path / "net.nir")
    assert list(graph.nodes) == list(exported(net, sample, tmp_path / "again.nir").nodes)
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in folded.modules())


@pytest.mark.parametrize(
    ("pool", "features"), [(layer.AvgPool2d(3, stride=2, padding=1), 27), (layer.AdaptiveAvgPool2d(2), 12)]
)
def test_folding_makes_averages_and_lone_batch_norms_exact(pool: nn.Module, features: int) -> None:
    torch.manual_seed(0)
    net = sequential(
        layer.Conv2d(2, 3, 1), lif(), layer.BatchNorm2d(3), lif(), pool, layer.Flatten(), layer.Linear(features, 4), lif()
    )
    for weight, most in ((net[0].weight, 3.0), (net[2].weight, 3.0), (net[2].bias, 1.0), (net[6].weight, 2.0)):
        nn.init.uniform_(weight, most / 2, most)
    functional.set_step_mode(net.eval(), "m")
    sample = (torch.rand(10, 8, 2, 6, 6) < 0.4).float()
    assert not all(export.to_nir(net, sample).metadata["exact_sums"].values())
    folded = export.fold(net, sample)
    graph = export.to_nir(folded, sample)
    assert all(graph.metadata["exact_sums"].values())
    assert isinstance(graph.nodes["4"], nir.SumPool2d)
    before, after = export.golden(net, sample), export.golden(folded, sample)
    assert all(np.array_equal(before.spikes[name], after.spikes[name]) for name in before.spikes)
    assert after.spikes["7"].any()


def test_edges_that_close_a_loop_come_from_the_neuron(tmp_path: Path) -> None:
    net, sample = build("recurrent containers")
    graph = exported(net, sample, tmp_path / "net.nir")
    module = export.from_nir(graph)
    assert module.late == {("2.sub_module", "2.rc.recurrent"), ("4.sub_module", "4.sub_module")}
    assert graph.nodes["2.rc.recurrent"].weight.shape == (16, 16)
    assert not hasattr(graph.nodes["2.rc.recurrent"], "bias")


def test_groups_and_kernels_come_back_from_a_file_that_nir_can_check(tmp_path: Path) -> None:
    net, sample = build("groups, kernels, dilation")
    graph = exported(net, sample, tmp_path / "net.nir")
    assert graph.nodes["0"].weight.shape == (8, 4, 5, 5)
    assert graph.metadata["density"]["0"] == 1.0
    cell = export.from_nir(graph).cell("0")
    assert tuple(cell.weight.shape) == (8, 2, 3, 5)
    assert cell.groups == 2


def test_kernels_that_nir_cannot_check_are_written_with_a_warning() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, (2, 3)), neuron.IFNode()).eval()
    with pytest.warns(UserWarning, match="type_check=False"):
        graph = export.to_nir(net, torch.ones(2, 1, 5, 5))
    assert graph.nodes["0"].weight.shape == (2, 1, 2, 3)


def test_soft_resets_are_said_in_the_metadata_and_warned_about() -> None:
    net, sample = build("soft reset")
    with pytest.warns(UserWarning, match="reset by subtraction"):
        graph = export.to_nir(net, sample)
    assert graph.metadata["reset"] == "subtract"


def test_what_happens_over_time_is_said_in_the_metadata() -> None:
    net, sample = build("read-out without spikes")
    assert export.to_nir(net, sample).metadata["over_time"] == "mean"


def test_sparse_weights_make_a_smaller_onnx_file_that_computes_the_same(tmp_path: Path) -> None:
    net = nn.Sequential(layer.Linear(100, 200, bias=False), lif(), layer.Linear(200, 10), lif())
    functional.set_step_mode(net, "m")
    with torch.no_grad():
        net[0].weight[torch.rand(200, 100) < 0.95] = 0.0
    net.eval()
    sample = (torch.rand(4, 2, 100) < 0.5).float()
    dense = export.to_onnx(net, sample, tmp_path / "dense.onnx")
    sparse = export.to_onnx(net, sample, tmp_path / "sparse.onnx", sparse=True)
    assert sparse.stat().st_size < 0.4 * dense.stat().st_size
