"""Running an exported ONNX model over a sequence in onnxruntime, whatever its form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from .onnx_model import Form, Plan


def run(
    model: onnx.ModelProto, plan: Plan, form: Form, inputs: Mapping[str, NDArray[Any]], *, threads: int = 1
) -> dict[str, NDArray[Any]]:
    """Outputs [T, N, *shape] by name for inputs [T, N, *shape] by name, from rest."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [out.name for out in session.get_outputs()]
    if form != "step":
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))
    steps, samples = next(iter(inputs.values())).shape[:2]
    states = {name: np.zeros((samples, *shape), dtype=np.float32) for name, shape in plan.states.items()}
    for name, start in plan.starts.items():
        states[name] += start
    rows = []
    for t in range(steps):
        row = dict(zip(names, session.run(names, {**{n: x[t] for n, x in inputs.items()}, **states}), strict=True))
        states = {name: row.pop(f"{name}.next") for name in states}
        rows.append(row)
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
