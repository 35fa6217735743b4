"""One network run wherever an exported network runs, every spike compared. Used by the export benchmarks and tests."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from filopodia import export, hardware
from filopodia.errors import FilopodiaError
from filopodia.export.onnx_integer import build_program
from filopodia.export.onnx_model import build, plan
from filopodia.export.onnx_run import run

Spikes = Mapping[str, NDArray[Any]]
FLOAT = ("NIR in torch", "NIR in numpy", "ONNX scan", "ONNX step")
INTEGER = ("ONNX integer scan", "ONNX integer step")


@dataclass(frozen=True)
class Compared:
    """Neuron-steps, and how many of them differ from torch's (for integers: from the integer simulator's), by place."""

    neuron_steps: int
    spikes: int
    differ: dict[str, int]
    where: dict[str, str] = field(default_factory=dict)  # first layer that differs, by place
    loose: list[str] = field(default_factory=list)  # layers whose sums depend on their order
    integer_steps: int = 0
    refused: str = ""  # why the network does not compile to integers


def compare(model: nn.Module, sample: tuple[Tensor, ...], *, multi_step: bool = True, integers: bool = True) -> Compared:
    """Run a model that is as it will be exported (folded, or not) on `sample`, each [T, N, *shape], everywhere."""
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.filterwarnings("ignore", message=".*(subtraction|type_check|other than 0|Using padding)")
        golden = export.golden(model, sample)
        path = export.write_nir(export.to_nir(model, short(sample, multi_step)), Path(folder) / "net.nir")
        graph = nir.read(path, type_check=False)
        network = hardware.load(path)
    inputs = dict(zip(golden.inputs, (x.numpy() for x in sample), strict=True))
    ready = plan(graph)
    names = list(golden.spikes)
    differ: dict[str, int] = {}
    where: dict[str, str] = {}

    def judge(place: str, found: Spikes, expected: Spikes) -> None:
        each = {name: int((np.asarray(found[name]).reshape(spikes.shape) != spikes).sum()) for name, spikes in expected.items()}
        differ[place] = sum(each.values())
        if differ[place]:
            where[place] = next(name for name, count in each.items() if count)

    back = export.from_nir(graph).run({n: torch.from_numpy(x) for n, x in inputs.items()}, record=names)
    judge("NIR in torch", {n: x.numpy() for n, x in back.recorded.items()}, golden.spikes)
    judge("NIR in numpy", hardware.simulate(network, inputs).spikes, golden.spikes)
    for form in ("scan", "step"):
        judge(f"ONNX {form}", run(build(ready, form, record=names), inputs), golden.spikes)
    steps, refused = 0, "not tried"
    if integers:
        steps, refused = _integers(network, inputs, judge)
    return Compared(
        neuron_steps=sum(x.size for x in golden.spikes.values()),
        spikes=sum(int(x.sum(dtype=np.int64)) for x in golden.spikes.values()),
        differ=differ,
        where=where,
        loose=[name for name, holds in graph.metadata["exact_sums"].items() if not holds],
        integer_steps=steps,
        refused=refused,
    )


def _integers(network: Any, inputs: Spikes, judge: Any) -> tuple[int, str]:
    """Neuron-steps of the compiled network, or why it does not compile."""
    analog = any(((x != 0) & (x != 1)).any() for x in inputs.values())
    if analog:
        return 0, "analog input"
    try:
        program = hardware.compile(network, chip="loihi2")
    except FilopodiaError as error:
        return 0, f"{type(error).__name__}: {error.found}"
    expected = hardware.simulate(program, inputs).spikes
    layers = {x.name: expected[x.name] for x in program.layers}
    for form in ("scan", "step"):
        judge(f"ONNX integer {form}", run(build_program(program, form, record=True), inputs), layers)
    return sum(x.size for x in layers.values()), ""


def short(sample: tuple[Tensor, ...], multi_step: bool) -> tuple[Tensor, ...]:
    """The sample as `to_nir` takes it; a single-step model is called with one step."""
    return sample if multi_step else tuple(x[0] for x in sample)
