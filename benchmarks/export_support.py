"""The table of what is supported, made by trying: each layer in a small network, through every stage.

    python benchmarks/export_support.py [--save]     # --save writes docs/support.md; needs a Python 3.10 for Lava

A cell says "exact" where the stage ran and nothing differed, else why the stage refuses. Exact means: NIR, torch again, ONNX
(scan, step and unrolled) and the float simulator give every spike of the model. Integers are what the network compiles to (the
weights are rounded): every spike, current and voltage is the same in the readable reference, the fast simulator and real Lava,
every spike in integer ONNX (in all three forms).

"""

from __future__ import annotations

import argparse
import operator
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from spikingjelly.activation_based import functional, layer, neuron
from torch import Tensor, nn

from filopodia import export, hardware
from filopodia.errors import FilopodiaError, UnsupportedError
from filopodia.export.onnx_time import Form
from filopodia.hardware.lava.plan import plan_job
from filopodia.hardware.lava.runner import run_many
from filopodia.hardware.program import Program
from filopodia.hardware.simulator import reference

PAGE = Path(__file__).parent.parent / "docs" / "support.md"
COLUMNS = ("layer", "NIR", "back to torch", "ONNX", "simulator (float)", "simulator (integers)", "ONNX (integers)", "Lava")
DIFFERS = "DIFFERS"
STATES = ("spikes", "u", "v")
Made = tuple[nn.Module, tuple[Any, ...]]  # a network, and the shape of its input, or the shapes of its inputs


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


class Voltages(nn.Module):
    """The product of two layers without neurons between."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.s = layer.Linear(8, 4), layer.Linear(8, 4), neuron.IFNode()

    def forward(self, x: Tensor) -> Tensor:
        """[T, N, 8] to [T, N, 4]."""
        return self.s(self.a(x) * self.b(x))


class Pair(nn.Module):
    """Two inputs and two outputs, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.s, self.fc, self.out = (
            layer.Linear(8, 8),
            layer.Linear(6, 8),
            neuron.IFNode(),
            layer.Linear(8, 4),
            neuron.IFNode(),
        )

    def forward(self, left: Tensor, right: Tensor) -> dict[str, Tensor]:
        """[T, N, 8] and [T, N, 6] to [T, N, 4] and [T, N, 8]."""
        hidden = self.s(self.a(left) + self.b(right))
        return {"answer": self.out(self.fc(hidden)), "hidden": hidden}


class Twice(nn.Module):
    """One linear layer used twice."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.fc, self.first, self.second = layer.Linear(8, 8), first, second

    def forward(self, x: Tensor) -> Tensor:
        """[T, N, 8] to [T, N, 8]."""
        return self.second(self.fc(self.first(self.fc(x))))


def one(*modules: nn.Module, shape: tuple[int, ...] = (2, 8, 8), end: nn.Module | None = None) -> Made:
    """A chain that ends in IF neurons, and its input's shape."""
    return nn.Sequential(*modules, neuron.IFNode() if end is None else end), shape


def image(*modules: nn.Module) -> Made:
    """A spiking convolution, the modules, and a convolution with neurons that reads them."""
    return nn.Sequential(layer.Conv2d(2, 4, 3, padding=1), neuron.IFNode(), *modules, layer.Conv2d(4, 3, 1), neuron.IFNode()), (
        2,
        8,
        8,
    )


def dense(middle: nn.Module, end: nn.Module | None = None) -> Made:
    """A dense layer, the neurons, and a dense layer that reads them."""
    return nn.Sequential(layer.Linear(8, 8), middle, layer.Linear(8, 4), neuron.IFNode() if end is None else end), (8,)


ROWS: dict[str, Callable[[], Made]] = {
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
    "AvgPool2d, window 3 x 3": lambda: image(layer.AvgPool2d(3, stride=1)),
    "AvgPool1d": lambda: one(layer.Conv1d(2, 4, 3), neuron.IFNode(), layer.AvgPool1d(2), layer.Conv1d(4, 2, 1), shape=(2, 16)),
    "MaxPool2d of spikes": lambda: image(layer.MaxPool2d(2)),
    "MaxPool1d of spikes": lambda: one(
        layer.Conv1d(2, 4, 3), neuron.IFNode(), layer.MaxPool1d(2), layer.Conv1d(4, 2, 1), shape=(2, 16)
    ),
    "MaxPool2d of voltages": lambda: one(layer.Conv2d(2, 4, 3), layer.MaxPool2d(2)),
    "AdaptiveAvgPool2d, even": lambda: image(layer.AdaptiveAvgPool2d(4)),
    "AdaptiveAvgPool1d, even": lambda: one(
        layer.Conv1d(2, 4, 3), neuron.IFNode(), layer.AdaptiveAvgPool1d(7), layer.Conv1d(4, 2, 1), shape=(2, 16)
    ),
    "AdaptiveAvgPool2d, uneven": lambda: image(layer.AdaptiveAvgPool2d(3)),
    "Flatten": lambda: one(layer.Flatten(), layer.Linear(128, 4)),
    "Dropout": lambda: one(layer.Linear(8, 4), layer.Dropout(), shape=(8,)),
    "VotingLayer": lambda: (nn.Sequential(layer.Linear(8, 6), neuron.IFNode(), layer.VotingLayer(2)), (8,)),
    "residual +, SEW ADD": lambda: (Two(operator.add), (8,)),
    "SEW AND": lambda: (Two(operator.mul), (8,)),
    "SEW IAND": lambda: (Two(lambda x, y: x * (1.0 - y)), (8,)),
    "difference, constant factor": lambda: (Two(lambda x, y: 0.5 * (x - y)), (8,)),
    "constant added": lambda: (Two(lambda x, y: x + y + 0.25), (8,)),
    "product of voltages": lambda: (Voltages(), (8,)),
    "concatenation": lambda: (Two(lambda x, y: torch.cat([x, y], 2)), (8,)),
    "two inputs, two outputs": lambda: (Pair(), ((8,), (6,))),
    "Linear used twice": lambda: (Twice(neuron.IFNode(), neuron.IFNode()), (8,)),
    "neuron used twice": lambda: (Twice(same := neuron.IFNode(), same), (8,)),
    "IFNode": lambda: dense(neuron.IFNode()),
    "LIFNode": lambda: dense(neuron.LIFNode(tau=2.0)),
    "LIFNode, decay_input=False": lambda: dense(neuron.LIFNode(tau=2.0, decay_input=False)),
    "SimpleIFNode, SimpleLIFNode": lambda: dense(neuron.SimpleLIFNode(2.0, True), neuron.SimpleIFNode()),
    "ParametricLIFNode": lambda: dense(neuron.ParametricLIFNode(init_tau=2.0)),
    "CUBALIFNode": lambda: dense(neuron.CUBALIFNode()),
    "soft reset (v_reset=None)": lambda: dense(neuron.LIFNode(v_reset=None), neuron.IFNode(v_reset=None)),
    "soft and hard reset together": lambda: dense(neuron.LIFNode(v_reset=None), neuron.IFNode()),
    "v_reset = -0.2": lambda: dense(neuron.LIFNode(v_reset=-0.2)),
    "NonSpikingLIFNode at the end": lambda: dense(neuron.LIFNode(), neuron.NonSpikingLIFNode(decode="last_mem")),
    "NonSpikingIFNode at the end": lambda: dense(neuron.LIFNode(), neuron.NonSpikingIFNode(decode="last_mem")),
    "Linear at the end": lambda: (nn.Sequential(layer.Linear(8, 8), neuron.IFNode(), layer.Linear(8, 4)), (8,)),
    "SeqToANNContainer": lambda: one(layer.SeqToANNContainer(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4))),
    "StepModeContainer": lambda: (nn.Sequential(layer.StepModeContainer(True, "s", nn.Linear(8, 4), neuron.IFNode())), (8,)),
    "MultiStepContainer": lambda: (nn.Sequential(layer.MultiStepContainer(nn.Linear(8, 4), neuron.IFNode())), (8,)),
    "LinearRecurrentContainer": lambda: dense(layer.LinearRecurrentContainer(neuron.LIFNode(), 8, 8)),
    "ElementWiseRecurrentContainer, +": lambda: dense(layer.ElementWiseRecurrentContainer(neuron.LIFNode(), operator.add)),
}


@dataclass(frozen=True, eq=False)
class Row:
    """A row of the table but for its last cell, and what Lava is to run for that; `why` there is nothing to run."""

    cells: list[str]
    program: Program | None = None
    spikes: Any = None
    why: str = "–"


def ready(make: Callable[[], Made]) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """The network with weights that make it spike, folded where it can be, and a sample."""
    torch.manual_seed(0)
    net, shape = make()
    shapes = shape if isinstance(shape[0], tuple) else (shape,)
    sample = tuple((torch.rand(8, 4, *one) < 0.4).float() for one in shapes)
    for module in net.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, 1.0 / module.weight[0].numel() ** 0.5, 2.0 / module.weight[0].numel() ** 0.5)
    functional.set_step_mode(net, "m")
    for module in net.modules():
        if isinstance(module, layer.MultiStepContainer | layer.StepModeContainer):
            functional.set_step_mode(module[1], "s")
        if isinstance(module, layer.LinearRecurrentContainer | layer.ElementWiseRecurrentContainer):
            functional.set_step_mode(module.sub_module, "s")
    try:
        return export.fold(net.eval(), sample), sample
    except UnsupportedError:
        return net.eval(), sample


def tried(make: Callable[[], Made]) -> Row:
    """One row."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.nir"
        try:
            net, sample = ready(make)
            export.write_nir(export.to_nir(net, sample), path)
        except FilopodiaError as error:
            return Row([f"refused: {error.found}", *["–"] * 5])
        golden = export.golden(net, sample)
        assert all(spikes.any() for spikes in golden.spikes.values()), "a silent network proves nothing"
        inputs = dict(zip(golden.inputs, (x.numpy() for x in sample), strict=True))

        def same(found: Any, expected: Any) -> str:
            return (
                "exact"
                if all(np.array_equal(np.asarray(found[n]).reshape(x.shape), x) for n, x in expected.items())
                else DIFFERS
            )

        def back() -> str:
            given = dict(zip(inputs, sample, strict=True))
            return same(export.from_nir(path).run(given, record=golden.spikes).recorded, golden.spikes)

        def onnx() -> str:
            for form in get_args(Form):
                export.to_onnx(net, sample, Path(folder) / "net.onnx", form=form)
            return "exact"

        def simulated() -> str:
            return same(hardware.simulate(hardware.load(path), inputs).spikes, golden.spikes)

        def integers() -> str:
            program = compiled()
            trace, ran = reference.run(program, inputs), hardware.simulate(program, inputs, record=STATES)
            mine = {"spikes": ran.spikes, **ran.states}
            theirs = {"spikes": trace.spikes, "u": trace.u, "v": trace.v}
            results = {same(theirs[key], {x.name: mine[key][x.name] for x in program.layers}) for key in STATES}
            return "exact" if results == {"exact"} else DIFFERS

        def compiled() -> Program:
            program: Program = hardware.compile(hardware.load(path), chip="loihi2", calibration=inputs)
            return program

        def integer_onnx() -> str:
            for form in get_args(Form):
                export.program_to_onnx(compiled(), inputs, Path(folder) / "program.onnx", form=form)
            return "exact"

        cells = ["exact"]
        for stage in (back, onnx, simulated, integers, integer_onnx):
            try:
                cells.append(stage())
            except FilopodiaError as error:
                cells.append(f"refused: {error.found}")
        try:
            program = compiled()
            plan_job(program, steps=1, samples=1, record={})
        except FilopodiaError as error:
            return Row(cells, why=f"refused: {error.found}")
        return Row(cells, program, inputs)


def on_lava(rows: list[Row]) -> list[str]:
    """The last cell of each row, from one start of Lava."""
    planned = [(row.program, row.spikes) for row in rows if row.program is not None]
    ran = iter(run_many(planned, record=STATES, actors="threads"))
    cells = []
    for row in rows:
        if row.program is None:
            cells.append(row.why)
            continue
        real, expected = next(ran), hardware.simulate(row.program, row.spikes, record=STATES)
        pairs = [(real.spikes, expected.spikes), *((real.states[s], expected.states[s]) for s in ("u", "v"))]
        alike = all(np.array_equal(a[x.name], b[x.name]) for a, b in pairs for x in row.program.layers)
        cells.append("exact" if alike else DIFFERS)
    return cells


def table() -> dict[str, Row]:
    """Every row by the name of its layer, without Lava."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {name: tried(make) for name, make in ROWS.items()}


def page() -> str:
    """The whole page, in Markdown."""
    rows = table()
    lava = on_lava(list(rows.values()))
    about = __doc__.split("\n\n")
    lines = ["# What is supported", "", *about[2].strip().splitlines(), ""]
    lines += ["Made by `python benchmarks/export_support.py --save`; tests keep it true.", ""]
    every = [(name, *row.cells, last) for (name, row), last in zip(rows.items(), lava, strict=True)]
    lines += [f"| {' | '.join(row)} |" for row in (COLUMNS, ("---",) * len(COLUMNS), *every)]
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
