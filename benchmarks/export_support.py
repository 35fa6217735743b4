"""The table of what is supported, made by trying: each layer in a small network, through every stage.

    python benchmarks/export_support.py [--save]     # --save writes docs/support.md

A cell says "exact" where the stage ran and every spike was the trained model's, "integers" where the network compiles to
integers (the weights are rounded, the program runs bit for bit alike in the simulator and on Lava), else why the stage refuses.
"""

from __future__ import annotations

import argparse
import operator
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from spikingjelly.activation_based import functional, layer, neuron
from torch import Tensor, nn

from filopodia import export, hardware
from filopodia.errors import FilopodiaError

PAGE = Path(__file__).parent.parent / "docs" / "support.md"
COLUMNS = ("layer", "NIR", "back to torch", "ONNX", "simulator (float)", "simulator (integers), Lava")


class Two(nn.Module):
    """Two spiking branches and a function of both."""

    def __init__(self, connect: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.sa, self.b, self.sb = layer.Linear(8, 8), neuron.IFNode(), layer.Linear(8, 8), neuron.IFNode()
        size = connect(torch.ones(1, 1, 8), torch.ones(1, 1, 8)).shape[2]
        self.connect, self.fc, self.sc = connect, layer.Linear(size, 4), neuron.IFNode()

    def forward(self, x: Tensor) -> Tensor:
        """[T, N, 8] to [T, N, 4]."""
        return self.sc(self.fc(self.connect(self.sa(self.a(x)), self.sb(self.b(x)))))


def one(
    *modules: nn.Module, shape: tuple[int, ...] = (2, 8, 8), end: nn.Module | None = None
) -> tuple[nn.Module, tuple[int, ...]]:
    """A chain that ends in IF neurons, and its input's shape."""
    return nn.Sequential(*modules, neuron.IFNode() if end is None else end), shape


def image(*modules: nn.Module) -> tuple[nn.Module, tuple[int, ...]]:
    """A spiking convolution, the modules, and a convolution with neurons that reads them."""
    return nn.Sequential(layer.Conv2d(2, 4, 3, padding=1), neuron.IFNode(), *modules, layer.Conv2d(4, 3, 1), neuron.IFNode()), (
        2,
        8,
        8,
    )


def dense(middle: nn.Module, end: nn.Module | None = None) -> tuple[nn.Module, tuple[int, ...]]:
    """A dense layer, the neurons, and a dense layer that reads them."""
    return nn.Sequential(layer.Linear(8, 8), middle, layer.Linear(8, 4), neuron.IFNode() if end is None else end), (8,)


ROWS: dict[str, Callable[[], tuple[nn.Module, tuple[int, ...]]]] = {
    "Linear": lambda: one(layer.Linear(8, 4), shape=(8,)),
    "Conv2d": lambda: one(layer.Conv2d(2, 4, 3, stride=2, padding=1)),
    "Conv2d, dilation": lambda: one(layer.Conv2d(2, 4, 3, dilation=2)),
    "Conv2d, groups": lambda: one(layer.Conv2d(2, 4, 3, groups=2)),
    "Conv2d, kernel 3 x 5": lambda: one(layer.Conv2d(2, 4, (3, 5))),
    "Conv1d": lambda: one(layer.Conv1d(2, 4, 3), shape=(2, 16)),
    "BatchNorm behind Conv2d": lambda: one(layer.Conv2d(2, 4, 3, bias=False), layer.BatchNorm2d(4)),
    "BatchNorm behind Linear": lambda: one(layer.Linear(8, 4, bias=False), layer.BatchNorm1d(4), shape=(8,)),
    "BatchNorm alone": lambda: image(layer.BatchNorm2d(4)),
    "AvgPool2d": lambda: image(layer.AvgPool2d(2)),
    "AvgPool1d": lambda: one(layer.Conv1d(2, 4, 3), neuron.IFNode(), layer.AvgPool1d(2), layer.Conv1d(4, 2, 1), shape=(2, 16)),
    "MaxPool2d of spikes": lambda: image(layer.MaxPool2d(2)),
    "MaxPool2d of voltages": lambda: one(layer.Conv2d(2, 4, 3), layer.MaxPool2d(2)),
    "AdaptiveAvgPool2d, even": lambda: image(layer.AdaptiveAvgPool2d(4)),
    "AdaptiveAvgPool2d, uneven": lambda: image(layer.AdaptiveAvgPool2d(3)),
    "Flatten": lambda: one(layer.Flatten(), layer.Linear(128, 4)),
    "Dropout": lambda: one(layer.Linear(8, 4), layer.Dropout(), shape=(8,)),
    "VotingLayer": lambda: (nn.Sequential(layer.Linear(8, 6), neuron.IFNode(), layer.VotingLayer(2)), (8,)),
    "residual +, SEW ADD": lambda: (Two(operator.add), (8,)),
    "SEW AND": lambda: (Two(operator.mul), (8,)),
    "SEW IAND": lambda: (Two(lambda x, y: x * (1.0 - y)), (8,)),
    "concatenation": lambda: (Two(lambda x, y: torch.cat([x, y], 2)), (8,)),
    "IFNode": lambda: dense(neuron.IFNode()),
    "LIFNode": lambda: dense(neuron.LIFNode(tau=2.0)),
    "LIFNode, decay_input=False": lambda: dense(neuron.LIFNode(tau=2.0, decay_input=False)),
    "ParametricLIFNode": lambda: dense(neuron.ParametricLIFNode(init_tau=2.0)),
    "CUBALIFNode": lambda: dense(neuron.CUBALIFNode()),
    "soft reset (v_reset=None)": lambda: dense(neuron.LIFNode(v_reset=None), neuron.IFNode(v_reset=None)),
    "v_reset = -0.2": lambda: dense(neuron.LIFNode(v_reset=-0.2)),
    "NonSpikingLIFNode at the end": lambda: dense(neuron.LIFNode(), neuron.NonSpikingLIFNode(decode="last_mem")),
    "NonSpikingIFNode at the end": lambda: dense(neuron.LIFNode(), neuron.NonSpikingIFNode(decode="last_mem")),
    "Linear at the end": lambda: (nn.Sequential(layer.Linear(8, 8), neuron.IFNode(), layer.Linear(8, 4)), (8,)),
    "SeqToANNContainer": lambda: one(layer.SeqToANNContainer(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4))),
    "MultiStepContainer": lambda: (nn.Sequential(layer.MultiStepContainer(nn.Linear(8, 4), neuron.IFNode())), (8,)),
    "LinearRecurrentContainer": lambda: dense(layer.LinearRecurrentContainer(neuron.LIFNode(), 8, 8)),
    "ElementWiseRecurrentContainer, +": lambda: dense(layer.ElementWiseRecurrentContainer(neuron.LIFNode(), operator.add)),
}


def ready(make: Callable[[], tuple[nn.Module, tuple[int, ...]]]) -> tuple[nn.Module, Tensor]:
    """The network with weights that make it spike, and a sample."""
    torch.manual_seed(0)
    net, shape = make()
    sample = (torch.rand(8, 4, *shape) < 0.4).float()
    for module in net.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, 0.1, 1.2 / module.weight[0].numel() ** 0.5)
    functional.set_step_mode(net, "m")
    for module in net.modules():
        if isinstance(module, layer.MultiStepContainer):
            functional.set_step_mode(module[1], "s")
        if isinstance(module, layer.LinearRecurrentContainer | layer.ElementWiseRecurrentContainer):
            functional.set_step_mode(module.sub_module, "s")
    return export.fold(net.eval(), sample), sample


def tried(make: Callable[[], tuple[nn.Module, tuple[int, ...]]]) -> list[str]:
    """The cells of one row."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.nir"
        try:
            net, sample = ready(make)
            export.write_nir(export.to_nir(net, sample), path)
        except FilopodiaError as error:
            return [f"refused: {error.found}", *["–"] * 4]
        golden = export.golden(net, sample)

        def compare(spikes: Any) -> str:
            same = all(np.array_equal(np.asarray(spikes[n]), s) for n, s in golden.spikes.items())
            return "exact" if same else "DIFFERS"

        def compiled() -> str:
            program = hardware.compile(hardware.load(path), chip="loihi2", calibration=sample.numpy())
            soft = any(x.reset == "subtract" for x in program.layers)
            return "integers; no Lava process" if soft else "integers"

        def onnx() -> str:
            export.to_onnx(net, sample, Path(folder) / "net.onnx")
            return "exact"

        cells = ["exact"]
        stages: list[Callable[[], str]] = [
            lambda: compare(export.from_nir(path).run(sample, record=golden.spikes).recorded),
            onnx,
            lambda: compare(hardware.simulate(hardware.load(path), sample.numpy()).spikes),
            compiled,
        ]
        for stage in stages:
            try:
                cells.append(stage())
            except FilopodiaError as error:
                cells.append(f"refused: {str(error).splitlines()[0]}")
        return cells


def page() -> str:
    """The whole page, in Markdown."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = [(name, *tried(make)) for name, make in ROWS.items()]
    lines = ["# What is supported", "", *__doc__.split("\n\n")[-1].strip().splitlines(), ""]
    lines += ["Made by `python benchmarks/export_support.py --save`; a test keeps it true.", ""]
    lines += [f"| {' | '.join(row)} |" for row in (COLUMNS, ("---",) * len(COLUMNS), *rows)]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the page, and save it when asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--save", action="store_true")
    asked = parser.parse_args()
    text = page()
    print(text)
    if asked.save:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
