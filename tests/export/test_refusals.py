"""What cannot be said exactly is refused, by the path of the module and the name of what it does."""

from __future__ import annotations

import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import Tensor, nn

from filopodia import export
from filopodia.errors import FileError, InputError, UnsupportedError


class Model(nn.Module):
    """Two dense layers with neurons, and a forward made by the test."""

    def __init__(self, forward: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.fc, self.sn, self.fc2 = layer.Linear(4, 4), neuron.IFNode(step_mode="m"), layer.Linear(4, 4)
        self.made = forward

    def forward(self, x: Tensor) -> Any:
        return self.made(self, x)


class Leaky(neuron.LIFNode):
    def single_step_functional_forward(self, inputs: Any, states: Any, **kwargs: Any) -> Any:
        (spike,), state = super().single_step_functional_forward(inputs, states, **kwargs)
        return (spike * 2,), state


def branch(m: Any, x: Tensor) -> Tensor:
    return m.sn(m.fc(x)) if x.sum() > 0 else x


def view_changed(m: Any, x: Tensor) -> Tensor:
    y = m.fc(x)
    z = y.view(y.shape)
    y += 1
    return z


FUNCTIONS: dict[str, tuple[Callable[[Any, Tensor], Any], str]] = {
    "an activation": (lambda m, x: torch.relu(m.fc(x)), "function relu"),
    "a branch on values": (branch, "sum over dim None|function"),
    "numpy": (lambda m, x: torch.from_numpy(m.sn(m.fc(x)).numpy()), "function numpy"),
    "a transpose": (lambda m, x: m.fc(x).transpose(0, 1), "function transpose"),
    "a product of voltages": (lambda m, x: m.fc(x) * m.fc2(x), "not both spikes"),
    "a neuron used twice": (lambda m, x: m.sn(m.fc2(m.sn(m.fc(x)))), "more than once"),
    "steps and samples mixed up": (lambda m, x: m.fc(x).flatten(1), "mixes steps or samples"),
    "a change in place behind a view": (view_changed, "changed in place"),
    "a constant over time": (lambda m, x: m.fc(x) + torch.arange(3.0).reshape(3, 1, 1), "differs over steps or samples"),
    "half precision": (lambda m, x: m.fc(x).half().float(), "function half|conversion"),
    "no tensor": (lambda m, x: 3, "returns a int"),
    "an output from nowhere": (lambda m, x: (m.fc(x), torch.ones(3, 2, 4)), "cannot be followed"),
    "a time index": (lambda m, x: m.fc(x[0]), "function __getitem__"),
    "softmax": (lambda m, x: m.fc(x).softmax(-1), "function softmax"),
    "broadcasting": (lambda m, x: m.fc(x) + m.fc(x)[..., :1], "__getitem__"),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    forward, message = FUNCTIONS[name]
    with pytest.raises(UnsupportedError, match=message):
        export.to_nir(Model(forward).eval(), torch.ones(3, 2, 4))


def chain(*modules: nn.Module) -> nn.Module:
    net = nn.Sequential(*modules).eval()
    functional.set_step_mode(net, "m")
    return net


MODULES: dict[str, tuple[nn.Module, tuple[int, ...], str]] = {
    "max pooling of voltages": (
        chain(layer.Conv2d(2, 2, 3), layer.MaxPool2d(2), neuron.IFNode()),
        (2, 8, 8),
        r"1: max pooling of 0",
    ),
    "uneven adaptive pooling": (chain(neuron.IFNode(), layer.AdaptiveAvgPool2d(3)), (2, 8, 8), "different sizes"),
    "padding without counting it": (
        chain(layer.AvgPool2d(2, padding=1, count_include_pad=False)),
        (2, 8, 8),
        "count_include_pad",
    ),
    "reflected padding": (chain(layer.Conv2d(2, 2, 3, padding=1, padding_mode="reflect")), (2, 8, 8), "reflect"),
    "half kernels": (chain(layer.Conv1d(2, 2, 2, padding="same", dilation=1)), (2, 8), "even kernel"),
    "group norm": (chain(layer.GroupNorm(1, 2)), (2, 8, 8), "group_norm"),
    "a transposed convolution": (chain(layer.ConvTranspose2d(2, 2, 3)), (2, 8, 8), "conv_transpose2d"),
    "a neuron of one's own": (chain(Leaky()), (4,), r"0 \(Leaky\).*changes methods of LIFNode"),
    "an unknown neuron": (chain(neuron.QIFNode()), (4,), r"0 \(QIFNode\)"),
    "no spikes": (chain(neuron.IFNode(surrogate_function=surrogate.ATan(spiking=False))), (4,), "surrogate function gives"),
    "a filter": (chain(layer.SynapseFilter()), (4,), "SynapseFilter"),
    "batch statistics": (chain(layer.BatchNorm2d(2, track_running_stats=False)), (2, 8, 8), "running statistics"),
    "two resets": (chain(neuron.IFNode(v_reset=None), layer.Linear(4, 4), neuron.IFNode()), (4,), "one kind of reset"),
    "a linear layer of an image": (chain(layer.Linear(8, 3)), (2, 8, 8), "last axis"),
}


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_modules(name: str) -> None:
    net, shape, message = MODULES[name]
    with pytest.raises(UnsupportedError, match=message):
        export.to_nir(net, torch.full((3, 2, *shape), 0.5))


def test_feedback_that_is_not_a_neuron_is_refused() -> None:
    container = layer.ElementWiseRecurrentContainer(nn.Sequential(neuron.IFNode(), nn.Linear(4, 4)), operator.add)
    with pytest.raises(UnsupportedError, match="not a spiking neuron"):
        export.to_nir(chain(container), torch.ones(3, 2, 4))


def test_single_step_layers_in_a_multi_step_model_are_refused() -> None:
    net = nn.Sequential(nn.Conv2d(2, 2, 3), neuron.IFNode(step_mode="m")).eval()
    with pytest.raises((UnsupportedError, RuntimeError)):
        export.to_nir(net, torch.ones(3, 2, 2, 8, 8))
    net = nn.Sequential(layer.Linear(4, 4), neuron.IFNode(step_mode="s"), neuron.IFNode(step_mode="m")).eval()
    with pytest.raises(UnsupportedError, match="without a time axis"):
        export.to_nir(net, torch.ones(3, 2, 4))


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (torch.ones(4), "shape"),
        (torch.ones(3, 2, 4, dtype=torch.float64), "float64"),
        (torch.ones(0, 2, 4), "shape"),
        ([np.ones((3, 2, 4))], "not a tensor"),
        ((), "no input"),
    ],
)
def test_samples(sample: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        export.to_nir(chain(layer.Linear(4, 4), neuron.IFNode()), sample)


def test_models_that_are_not_ready() -> None:
    with pytest.raises(InputError, match=r"model\.float"):
        export.to_nir(chain(layer.Linear(4, 4)).double(), torch.ones(3, 2, 4))
    broken = chain(layer.Linear(4, 4))
    broken[0].weight.data[0, 0] = float("nan")
    with pytest.raises(InputError, match=r"0\.weight holds values that are not finite"):
        export.to_nir(broken, torch.ones(3, 2, 4))
    with pytest.raises(InputError, match="dt"):
        export.to_nir(chain(layer.Linear(4, 4)), torch.ones(3, 2, 4), dt=0.0)


def test_an_input_that_nothing_reads_is_refused() -> None:
    class Two(nn.Module):
        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return a + 1.0

    with pytest.raises(UnsupportedError, match=r"input\.b"):
        export.to_nir(Two().eval(), (torch.ones(2, 4), torch.ones(2, 4)))


def test_files_that_are_no_nir_files(tmp_path: Path) -> None:
    (tmp_path / "bad.nir").write_bytes(b"nothing")
    with pytest.raises(FileError, match=r"bad\.nir"):
        export.from_nir(tmp_path / "bad.nir")
    with pytest.raises(FileError, match="no such file"):
        export.from_nir(tmp_path / "none.nir")


def small_graph(**metadata: Any) -> nir.NIRGraph:
    """Four LIF neurons that also hear their own last spikes through an Affine with a bias."""
    one = np.ones(4, dtype=np.float32)
    nodes = {
        "input": nir.Input(np.array([4])),
        "lif": nir.LIF(tau=one, r=one, v_leak=0 * one, v_threshold=one),
        "back": nir.Affine(np.zeros((4, 4), np.float32), 3 * one),
        "output": nir.Output(np.array([4])),
    }
    edges = [("input", "lif"), ("lif", "back"), ("back", "lif"), ("lif", "output")]
    return nir.NIRGraph(nodes, edges, metadata=metadata)


def test_nir_files_are_taken_as_hardware_load_takes_them() -> None:
    graph, zeros = small_graph(), torch.zeros(2, 1, 4)
    with pytest.raises(InputError, match="how long a step is"):
        export.from_nir(graph)
    with pytest.raises(InputError, match="reset"):
        export.from_nir(graph, dt=1.0, reset="sometimes")  # type: ignore[arg-type]
    assert export.from_nir(graph, dt=1.0)(zeros).sum() == 8
    assert export.from_nir(graph, dt=1.0, recurrent_input_at_start=False)(zeros).sum() == 4
    outer = nir.NIRGraph(
        {"input": nir.Input(np.array([4])), "inner": graph, "output": nir.Output(np.array([4]))},
        [("input", "inner"), ("inner", "output")],
    )
    nested = export.from_nir(outer, dt=1.0)
    assert nested.late == {("inner.lif", "inner.back")}
    assert nested(zeros).sum() == 8


def test_what_torch_and_onnx_cannot_say_of_a_nir_file_is_refused(tmp_path: Path) -> None:
    one = np.ones(4, dtype=np.float32)
    with pytest.raises(UnsupportedError, match="a Delay node"):
        export.from_nir(nir.NIRGraph.from_list(nir.Delay(delay=one)), dt=1.0)
    with pytest.raises(UnsupportedError, match="output_delay = 2"):
        export.from_nir(small_graph(dt=1.0, output_delay=2))
    with pytest.raises(UnsupportedError, match=r"node 'back'.*recurrent_input_at_start"):
        export.to_onnx(small_graph(dt=1.0, recurrent_input_at_start=False), torch.zeros(2, 1, 4), tmp_path / "a.onnx")
    graph = small_graph(dt=1.0)
    graph.nodes["lif.v"] = graph.nodes.pop("back")
    graph.edges = [("input", "lif"), ("lif", "lif.v"), ("lif.v", "lif"), ("lif", "output")]
    with pytest.raises(UnsupportedError, match=r"lif\.v: this node has the name of another node's state"):
        export.to_onnx(graph, torch.zeros(2, 1, 4), tmp_path / "a.onnx")


def test_names_that_onnx_values_could_have_are_names_of_layers_too(tmp_path: Path) -> None:
    net = chain(layer.Linear(4, 4), neuron.LIFNode(decay_input=False), layer.Linear(4, 4), neuron.IFNode())
    for name, new in (("0", "zero"), ("1", "batch"), ("2", "axis0"), ("3", "t0")):
        net._modules[new] = net._modules.pop(name)
    for form in ("scan", "step", "unrolled"):
        export.to_onnx(net, torch.ones(3, 2, 4), tmp_path / "a.onnx", form=form)


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = export.to_nir(chain(layer.Linear(4, 4), neuron.IFNode()), torch.ones(3, 2, 4))
    path = export.write_nir(graph, tmp_path / "model.nir")
    before = path.read_bytes()
    graph.nodes["0"].weight = object()
    with pytest.raises(TypeError):
        export.write_nir(graph, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
