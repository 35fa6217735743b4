"""The chain that a digits network takes: fold, NIR, golden, torch again, ONNX."""

from __future__ import annotations

from pathlib import Path

import nir
import numpy as np
import pytest
import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import nn

from filopodia import export
from filopodia.errors import FileError, InputError, UnsupportedError


def digits_net(seed: int = 0, *, decay_input: bool = True) -> nn.Sequential:
    """A small multi-step CSNN in evaluation mode, with trained-looking BatchNorms and half of its weights pruned."""
    torch.manual_seed(seed)
    lif = {"surrogate_function": surrogate.ATan(), "decay_input": decay_input}
    net = nn.Sequential(
        layer.Conv2d(1, 6, 3, padding=1, bias=False),
        layer.BatchNorm2d(6),
        neuron.LIFNode(tau=2.0, **lif),
        layer.AvgPool2d(2),
        layer.Conv2d(6, 8, 3, padding=1, bias=False),
        layer.BatchNorm2d(8),
        neuron.LIFNode(tau=1.7, **lif),
        layer.Flatten(),
        layer.Dropout(0.5),
        layer.Linear(128, 20, bias=False),
        layer.BatchNorm1d(20),
        neuron.LIFNode(tau=2.0, **lif),
        layer.VotingLayer(2),
    )
    for module in net:
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, -2.0, 3.0)
            nn.init.uniform_(module.bias, 0.0, 1.0)
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.02, 0.2)
        elif hasattr(module, "weight"):
            with torch.no_grad():
                module.weight[torch.rand_like(module.weight) < 0.5] = 0.0
    functional.set_step_mode(net, "m")
    return net.eval()


def spikes(*shape: int, seed: int = 1) -> torch.Tensor:
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < 0.4).float()


def test_the_graph_has_readable_names_and_says_its_semantics() -> None:
    graph = export.to_nir(digits_net(), spikes(4, 1, 1, 8, 8))
    assert list(graph.edges) == list(
        zip(
            ["input", "0", "2", "3", "4", "6", "7", "9", "11"], ["0", "2", "3", "4", "6", "7", "9", "11", "output"], strict=True
        )
    )
    assert graph.metadata["readout"] == {"classes": 10, "votes": 2}
    assert graph.metadata["dt"] == 1e-3
    assert graph.metadata["trained_comparison"] == ">="
    assert set(graph.metadata["density"]) == {"0", "4", "9"}
    lif = graph.nodes["2"]
    assert lif.v_threshold.shape == (6, 8, 8)
    assert lif.v_threshold.dtype == np.float32
    assert (lif.v_threshold == np.nextafter(np.float32(1), np.float32(0))).all()
    assert (lif.r == 1).all()


def test_zeros_stay_zeros_and_the_sign_of_zero_is_plus() -> None:
    net = digits_net()
    graph = export.to_nir(net, spikes(4, 1, 1, 8, 8))
    for name in ("0", "4", "9"):
        before = net[int(name)].weight.detach().numpy()
        after = graph.nodes[name].weight
        assert ((before == 0) == (after == 0)).all()
        assert not np.signbit(after[after == 0]).any()
    assert graph.metadata["density"]["9"] == pytest.approx(float((net[9].weight != 0).float().mean()))


def test_the_file_depends_on_neither_values_nor_samples_nor_steps(tmp_path: Path) -> None:
    net = digits_net()
    first = export.write_nir(export.to_nir(net, spikes(4, 1, 1, 8, 8)), tmp_path / "a.nir")
    second = export.write_nir(export.to_nir(net, spikes(7, 5, 1, 8, 8, seed=9)), tmp_path / "b.nir")
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("decay_input", [True, False])
def test_every_layer_spikes_alike_in_torch_nir_and_onnx(tmp_path: Path, decay_input: bool) -> None:
    net = digits_net(decay_input=decay_input)
    x = spikes(8, 16, 1, 8, 8)
    path = export.write_nir(export.to_nir(net, x), tmp_path / "model.nir")
    golden = export.golden(net, x)
    assert list(golden.spikes) == ["2", "6", "11"]
    module = export.from_nir(path)
    done = module.run(x, record=golden.spikes)
    for name, expected in golden.spikes.items():
        assert 0.02 < expected.mean() < 0.9
        assert (done.recorded[name].numpy() == expected).all(), name
    assert (golden.outputs["output"] == golden.spikes["11"]).all()
    for form in ("scan", "step", "unrolled"):
        export.to_onnx(nir.read(path), x, tmp_path / f"{form}.onnx", form=form)


def test_the_module_goes_on_from_its_state_until_reset() -> None:
    net, x = digits_net(), spikes(8, 2, 1, 8, 8)
    whole = export.from_nir(export.to_nir(net, x))
    single = export.from_nir(export.to_nir(net, x), step_mode="s")
    expected = whole(x)
    assert torch.equal(torch.stack([single(step) for step in x]), expected)
    whole.reset()
    assert torch.equal(torch.cat([whole(x[:3]), whole(x[3:])]), expected)


def test_single_step_models_give_the_same_graph() -> None:
    net, x = digits_net(), spikes(8, 3, 1, 8, 8)
    many = export.golden(net, x)
    multi = export.to_nir(net, x)
    functional.set_step_mode(net, "s")
    single = export.to_nir(net, x[0])
    assert single.edges == multi.edges
    again = export.golden(net, x)
    assert all((many.spikes[name] == again.spikes[name]).all() for name in many.spikes)


def test_states_training_flags_and_hooks_of_the_model_are_left_as_they_were() -> None:
    net, x = digits_net(), spikes(8, 3, 1, 8, 8)
    with torch.no_grad():
        net(x)
    v = net[2].v.clone()
    export.to_nir(net, spikes(2, 1, 1, 8, 8))
    assert torch.equal(net[2].v, v)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_golden_files_round_trip_and_bad_ones_are_named(tmp_path: Path) -> None:
    golden = export.golden(digits_net(), spikes(4, 5, 1, 8, 8), labels=np.arange(5), batch=2)
    path = export.write_golden(golden, tmp_path / "golden.npz")
    again = export.read_golden(path)
    assert list(again.spikes) == ["2", "6", "11"]
    assert all((again.spikes[name] == golden.spikes[name]).all() for name in golden.spikes)
    assert again.inputs["input"].dtype == np.uint8
    assert list(tmp_path.iterdir()) == [path]
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(FileError, match=r"golden\.npz"):
        export.read_golden(path)
    with pytest.raises(FileError, match="no such file"):
        export.read_golden(tmp_path / "none.npz")


def test_models_in_training_and_layers_that_are_not_understood_are_refused_by_name() -> None:
    net = digits_net()
    net[5].train()
    with pytest.raises(InputError, match=r"model\.eval"):
        export.to_nir(net, spikes(2, 1, 1, 8, 8))
    with pytest.raises(UnsupportedError, match=r"act \(ReLU\).*relu"):
        export.to_nir(_with_relu(), torch.ones(2, 4))


def _with_relu() -> nn.Module:
    net = nn.Sequential()
    net.add_module("fc", nn.Linear(4, 4))
    net.add_module("act", nn.ReLU())
    return net.eval()
