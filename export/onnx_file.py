"""`to_onnx`: a model or NIR graph as an ONNX file that has been run in onnxruntime, and was right, before it is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nir
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from filopodia.errors import FilopodiaError, InputError
from filopodia.files import written_whole
from filopodia.hardware.network.build import SPIKING

from .nir_to_torch import NirModule
from .onnx_model import Plan, build, plan
from .onnx_run import run
from .onnx_time import Form
from .torch_to_nir import to_nir
from .trace import Sample, input_names, multi_step

Arrays = Mapping[str, NDArray[Any]]


def to_onnx(
    model: nn.Module | nir.NIRGraph,
    sample: Sample,
    path: str | Path,
    *,
    form: Form = "scan",
    dt: float | None = None,
    sparse: bool = False,
) -> Path:
    """Write `model` as an ONNX file (opset 18, float32) and return its path.

    `form` "scan": inputs and outputs [T, batch, *shape], any T, from rest. "step": one step with named states in and out.
    "unrolled": as "scan" for the sample's T, without a loop. `sample` is as for `to_nir`; for a NIR graph it is [T, N, *shape].

    `sparse` writes weights that are mostly zeros as sparse initialisers, 12 bytes per non-zero value instead of 4 per value:
    a smaller file, not a faster or smaller model, since onnxruntime makes them dense when it loads them.

    Before the file is moved to its place the model is checked by `onnx.checker` and run in onnxruntime on the sample: every
    spike of every layer must be what the graph gives in torch, else FilopodiaError names the first layer and step that differ.
    """
    graph = model if isinstance(model, nir.NIRGraph) else to_nir(model, sample, dt=1e-3 if dt is None else dt)
    ready = plan(graph, dt=dt)
    inputs = _sequences(model, ready.inputs, sample)
    steps = next(iter(inputs.values())).shape[0]
    made = build(ready, form, steps=steps, sparse=sparse)
    onnx.checker.check_model(made, full_check=not sparse)  # onnx 1.23 cannot infer shapes through sparse initialisers
    check(made, ready, form, inputs, sparse=sparse)
    return save(made, path)


def save(model: onnx.ModelProto, path: str | Path) -> Path:
    """Write a model beside its place, then move it there."""
    path = Path(path)
    with written_whole(path) as beside:
        beside.write_bytes(model.SerializeToString())
    return path


def check(made: onnx.ModelProto, ready: Plan, form: Form, inputs: Arrays, *, sparse: bool = False) -> None:
    """Run the model, and the same with all spiking layers given out; compare with the graph in torch, step by step."""
    spiking = [name for name, node in ready.network.nodes.items() if type(node).__name__ in SPIKING]
    steps = next(iter(inputs.values())).shape[0]
    found = run(build(ready, form, steps=steps, record=spiking, sparse=sparse), inputs)
    alone = run(made, inputs)
    module = NirModule(ready.network)
    expected = module.run({name: torch.from_numpy(x) for name, x in inputs.items()}, record=spiking)
    for name in spiking:
        differs = found[name] != expected.recorded[name].numpy()
        if differs.any():
            step = int(np.argmax(differs.reshape(steps, -1).any(axis=1)))
            raise FilopodiaError(
                f"onnxruntime and torch differ in {int(differs.sum())} spikes, first in step {step}",
                where=f"{name} (ONNX, {form})",
                fix="export a folded model: export.fold makes sums exact in any order",
            )
    for name, values in expected.outputs.items():
        if not all(np.allclose(x[name], values.numpy(), rtol=1e-4, atol=1e-5) for x in (found, alone)):
            raise FilopodiaError("onnxruntime and torch give different outputs", where=f"{name} (ONNX, {form})")


def _sequences(model: nn.Module | nir.NIRGraph, names: Sequence[str], sample: Sample) -> dict[str, NDArray[Any]]:
    """The sample as [T, N, *shape] by input node."""
    if isinstance(model, nir.NIRGraph):
        given = (
            list(sample.values()) if isinstance(sample, Mapping) else [sample] if isinstance(sample, Tensor) else list(sample)
        )
        if isinstance(sample, Mapping):
            names = list(sample)
        single = False
    else:
        given, single = list(input_names(model, sample).values()), not multi_step(model)
    if len(given) != len(names):
        raise InputError(f"{len(given)} tensors", where="to_onnx sample", allowed=f"{len(names)}: {', '.join(names)}")
    arrays = {name: x.detach().cpu().numpy().astype(np.float32) for name, x in zip(names, given, strict=True)}
    return {name: x[None] if single else x for name, x in arrays.items()}
