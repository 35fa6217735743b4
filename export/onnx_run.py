"""Running a model of `onnx_time` over a sequence in onnxruntime, whatever its form: the model says all that is needed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

TYPES = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8, "tensor(int32)": np.int32}


def run(model: onnx.ModelProto, inputs: Mapping[str, Any], *, threads: int = 1) -> dict[str, NDArray[Any]]:
    """Outputs [T, N, *shape] by name for inputs [T, N, *shape] by name, from rest."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    facts = {entry.key: entry.value for entry in model.metadata_props}
    entering = {entry.name: entry for entry in session.get_inputs()}
    given = {name: np.asarray(x).astype(TYPES[entering[name].type], copy=False) for name, x in inputs.items()}
    names = [out.name for out in session.get_outputs()]
    if facts["form"] != "step":
        return dict(zip(names, session.run(names, given), strict=True))
    steps, samples = next(iter(given.values())).shape[:2]
    states = {}
    for name, value in json.loads(facts["states"]).items():
        shape = entering[name].shape[1:]
        rest = np.asarray(value, dtype=TYPES[entering[name].type])
        states[name] = np.broadcast_to(rest.reshape(shape if rest.ndim else ()), (samples, *shape)).copy()
    rows = []
    for t in range(steps):
        row = dict(zip(names, session.run(names, {**{n: x[t] for n, x in given.items()}, **states}), strict=True))
        states = {name: row.pop(f"{name}.next") for name in states}
        rows.append(row)
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
