"""The deployed network is the trained one: fixed point in torch, NIR, ONNX and integers on a chip, spike for spike."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import onnxruntime
import pytest
import torch
from spikingjelly.activation_based import functional, layer, neuron
from torch import Tensor, nn

from filopodia import export, hardware
from filopodia.cli import main
from filopodia.errors import FileError, UnsupportedError
from filopodia.prune import DataConfig, NetConfig, TrainConfig, build_net, quantize_aware
from filopodia.report import decode_report

FSDD = DataConfig(name="fsdd")
NETS: dict[str, tuple[TrainConfig, dict[str, Any]]] = {
    "pooled": (TrainConfig(net=NetConfig(channels=(4, 6), pool=(2, 1), hidden=(12,))), {}),
    "slow leak": (TrainConfig(net=NetConfig(channels=(4,), pool=(1,), hidden=(12,), tau=29.7)), {"v_threshold": 0.1}),
    "no leak, maxima": (TrainConfig(net=NetConfig(channels=(4,), pool=(2,), pooling="max", hidden=(9,), neuron="if")), {}),
    "subtracting": (TrainConfig(net=NetConfig(channels=(4,), pool=(2,), hidden=(12,))), {"v_reset": None}),
    "undivided": (TrainConfig(net=NetConfig(channels=(), pool=(), hidden=(20,), tau=7.3)), {"decay_input": False}),
    "recurrent": (TrainConfig(data=FSDD, net=NetConfig(name="recurrent", hidden=(16,))), {"v_threshold": 0.3}),
}


def trained(config: TrainConfig, changes: dict[str, Any]) -> tuple[nn.Module, Tensor]:
    """A network in fixed point whose layers all fire, and spikes for it [T, N, ...]."""
    torch.manual_seed(0)
    net = build_net(config)
    for module in net.modules():
        if isinstance(module, neuron.BaseNode):
            for key, value in changes.items():
                setattr(module, key, value)
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2.0)
            nn.init.uniform_(module.bias, 0.4, 1.2)
    shape = (80,) if config.data.name == "fsdd" else (1, 8, 8)
    x = (torch.rand(10, 24, *shape) < 0.4).float()
    with torch.no_grad():
        net(x)  # BatchNorm's statistics
    functional.reset_net(net)
    quantize_aware(net.eval(), x).finalize()
    return net, x


@pytest.mark.parametrize("kind", list(NETS))
@pytest.mark.filterwarnings("ignore:NIR has no reset by subtraction")
def test_every_spike_is_the_same_in_torch_nir_and_integers(kind: str, tmp_path: Path) -> None:
    net, x = trained(*NETS[kind])
    graph = export.to_nir(net, x[:, :4])
    golden = export.golden(net, x)
    nir.write(tmp_path / "model.nir", graph)
    network = hardware.load(tmp_path / "model.nir")
    program = hardware.compile(network, calibration=x[:, :8].numpy())
    for run in (hardware.simulate(network, x.numpy()), hardware.simulate(program, x.numpy().astype(bool))):
        for name, expected in golden.spikes.items():
            assert 0 < expected.mean() < 1
            np.testing.assert_array_equal(run.spikes[name], expected, err_msg=f"{run.backend}, {name}")
    module = export.from_nir(graph)
    np.testing.assert_array_equal(module(x).numpy(), next(iter(golden.outputs.values())))
    for name, scale in network.fixed_point.items():
        report = program.metadata["layers"][name]
        assert report["scale"] == scale
        assert report["mismatch"] == 0
        assert report["vanished"] == 0
        assert report["weight_error"] < 1e-6


@pytest.mark.parametrize("name", ["pooled", "slow leak", "subtracting"])
@pytest.mark.filterwarnings("ignore:NIR has no reset by subtraction")
def test_onnx_computes_in_fixed_point_too(name: str, tmp_path: Path) -> None:
    net, x = trained(*NETS[name])
    export.to_onnx(net, x[:, :2], tmp_path / "step.onnx", form="step")  # each form is run against torch before it is written
    session = onnxruntime.InferenceSession(export.to_onnx(net, x, tmp_path / "model.onnx"))
    (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    np.testing.assert_array_equal(found, next(iter(export.golden(net, x).outputs.values())))


def test_compiling_a_network_of_integers_is_the_identity() -> None:
    net, x = trained(*NETS["slow leak"])
    program = hardware.compile(hardware.load(export.to_nir(net, x[:, :1])))
    for name, spike in (("conv1", "spike1"), ("fc2", "spike2"), ("fc3", "spike3")):
        node, module = net.get_submodule(spike), net.get_submodule(name)
        unit = float(node.scale) * node.gain
        neurons = next(one for one in program.layers if one.name == spike)
        (connection,) = program.into(spike)
        synapses = connection.synapses
        weight = synapses.weight if hasattr(synapses, "weight") else synapses.data
        whole = np.rint(module.weight.detach().double().numpy() * unit)
        assert connection.weight_exp == 0
        np.testing.assert_array_equal(np.sort(weight[weight != 0], axis=None), np.sort(whole[whole != 0], axis=None))
        bias = np.rint(module.bias.detach().double().numpy() * unit)
        assert neurons.bias_exp == 6
        np.testing.assert_array_equal(np.unique(neurons.bias), np.unique(bias))
        assert int(neurons.vth) == float(node.v_threshold * node.scale)
        assert int(neurons.dv) == int(node.decay) == round(4096 / 29.7)


class Residual(nn.Module):
    """Shortcuts that add spikes, pooling to one pixel, and a last layer without neurons, as in SEW-ResNet."""

    def __init__(self) -> None:
        super().__init__()
        for index, channels in enumerate((3, 4, 4), 1):
            self.add_module(f"conv{index}", layer.Conv2d(channels, 4, 3, padding=1, bias=False))
            self.add_module(f"bn{index}", layer.BatchNorm2d(4))
            self.add_module(f"spike{index}", neuron.LIFNode(tau=5.0) if index == 3 else neuron.IFNode())
        self.pool, self.whole, self.flatten = layer.MaxPool2d(2), layer.AdaptiveAvgPool2d(1), layer.Flatten()
        self.fc = layer.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.spike1(self.bn1(self.conv1(x))))
        for index in ("2", "3"):
            block = (self.get_submodule(name + index) for name in ("conv", "bn", "spike"))
            x = x + nn.Sequential(*block)(x)
        out: Tensor = self.fc(self.flatten(self.whole(x)))
        return out


def test_images_as_values_shortcuts_and_a_readout_of_voltages_are_exact_too() -> None:
    torch.manual_seed(0)
    net = Residual()
    functional.set_step_mode(net, "m")
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 1.0, 2.0)
            nn.init.uniform_(module.bias, 0.6, 1.2)
    x = (torch.randint(0, 256, (16, 3, 8, 8)).float() / 255).expand(6, 16, 3, 8, 8)
    with torch.no_grad():
        net(x)
        functional.reset_net(net)
        quantize_aware(net.eval(), x, input_step=Fraction(1, 255)).finalize()
        summed = net(x).sum(0)
        functional.reset_net(net)
    golden = export.golden(net, x)
    network = hardware.load(export.to_nir(net, x[:, :2]))
    program = hardware.compile(network, graded={"input": hardware.Graded(bits=8, largest=1.0)}, calibration=x[:, :4].numpy())
    messages = hardware.analog_messages(program, x.numpy())
    integers = hardware.simulate(program, messages, record=("spikes", "v"))
    floats = hardware.simulate(network, x.numpy())
    for name, expected in golden.spikes.items():
        assert 0 < expected.mean() < 1
        np.testing.assert_array_equal(floats.spikes[name], expected)
        np.testing.assert_array_equal(integers.spikes[name], expected)
    scale = program.metadata["layers"]["fc"]["scale"]
    np.testing.assert_allclose(summed.numpy() * scale, integers.states["v"]["fc"][-1] / 64, atol=0.05)


def test_one_file_holds_one_arithmetic() -> None:
    net, x = trained(*NETS["pooled"])
    net.spike2 = neuron.LIFNode(step_mode="m").eval()
    with pytest.raises(UnsupportedError, match="fixed point and spike2 in floats"):
        export.to_nir(net, x[:, :1])


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ({"spike1": 3.0}, "3.0 for 'spike1'"),
        ({"spike1": -2.0}, "-2.0 for 'spike1'"),
        ({"spike9": 2.0}, "'spike9' is no node"),
        ({"conv1": 2.0}, "'conv1' is Conv2d"),
        (["spike1"], r"\['spike1'\]"),
    ],
)
def test_metadata_that_cannot_be_is_refused(said: Any, what: str) -> None:
    net, x = trained(*NETS["pooled"])
    graph = export.to_nir(net, x[:, :1])
    graph.metadata["fixed_point"] = said
    with pytest.raises(FileError, match=what):
        hardware.load(graph)


def test_a_run_that_ends_in_fixed_point_is_identical_from_torch_to_the_chip(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    told = (tiny_run.parent.parent / "tiny.toml").read_text() + '[estimate]\ntwin = "none"\n'
    (tmp_path / "fixed.toml").write_text(told.replace("epochs = 2", "epochs = 8\nquantize_epochs = 2"))
    assert main(["run", "fixed.toml", "--out", "fixed"]) == 0
    printed = capsys.readouterr().out
    assert "epoch 10: " in printed
    assert "NIR, fixed point → integers  identical" in printed
    report = decode_report((tmp_path / "fixed" / "report.json").read_bytes(), "report.json")
    chain = ["torch", "NIR, fixed point", "integers"]
    assert [(link.before, link.after) for link in report.links] == list(pairwise(chain))
    for link in report.links:
        assert link.exact
        assert link.spikes > 0
        assert link.differing == 0
    assert all((one.mismatch, one.weight_error) == (0, 0) for one in report.layers)
    assert [epoch.phase for epoch in report.epochs[-4:]] == ["mask frozen"] * 2 + ["fixed point"] * 2
