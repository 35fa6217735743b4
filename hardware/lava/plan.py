"""Program -> plan: the same network in Lava's words, which the worker builds without knowing anything of ours.

What has no exact counterpart in Lava 0.10.0 is refused here, by name and with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.errors import UnsupportedError
from filopodia.hardware.lava.unroll import unroll
from filopodia.hardware.program import Connection, Conv, Dense, Input, Layer, Program, SignMode
from filopodia.hardware.simulator.geometry import check, grid

PLAN_VERSION = 1
MAX_DELAY = 63  # lava/proc/sparse/models.py, 0.10.0: "delays expects values between 0 and 63"
ACCUMULATOR = 2**23  # Lava's Conv keeps 24 bits of a sum, its Sparse all 32
CONV_LIMIT = 2**31  # it sums in float64 and casts to int32, which says nothing past this (lava/proc/conv/utils.py)
DENSE_ENOUGH = 0.25  # share of non-zero weights from which Lava's Dense is faster than its Sparse; DelayDense never is

STATES = ("spikes", "u", "v")


@dataclass(frozen=True)
class Job:
    """One Lava run: `plan` as JSON values that name `arrays`, and the steps between samples that it leaves."""

    plan: dict[str, Any]
    arrays: dict[str, NDArray[Any]]
    gap: int


def gap(program: Program) -> int:
    """Steps to leave between samples so that no message of one reaches the next.

    A message sent in the last step of a sample arrives `lag` steps later. On balanced feed-forward paths every lag is 0 and
    samples follow each other at once; recurrent and delayed connections need as many silent steps as their longest lag.
    """
    return max((program.lag(connection) for connection in program.connections), default=0)


def plan_job(program: Program, *, steps: int, samples: int, record: Mapping[str, Sequence[str]], tag: str = "job0") -> Job:
    """Lay out a run of `samples` samples of `steps` steps; `record` says which of "spikes", "u", "v" to keep per layer.

    `tag` starts the names of this job's files and arrays. Raises InputError where the program does not fit together and
    UnsupportedError where Lava cannot express it exactly.
    """
    check(program)
    arrays: dict[str, NDArray[Any]] = {}
    layers = [_layer(layer, k, record.get(layer.name, ()), tag, arrays) for k, layer in enumerate(program.layers)]
    connections = [_connection(program, connection, k, tag, arrays) for k, connection in enumerate(program.connections)]
    connections += _ties(program, tag, arrays)
    sources = {connection["source"] for connection in connections}
    inputs = [
        {
            "name": node.name,
            "size": node.size,
            "dtype": "int32" if node.message_bits else "uint8",
            "file": f"{tag}-input{k}.bin",
        }
        for k, node in enumerate(program.inputs)
        if node.name in sources
    ]
    plan = {
        "steps": steps,
        "samples": samples,
        "gap": gap(program),
        "inputs": inputs,
        "layers": layers,
        "connections": connections,
        "start": program.layers[0].name,
    }
    return Job(plan, arrays, gap(program))


def _layer(layer: Layer, k: int, record: Sequence[str], tag: str, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    if layer.reset != "zero":
        raise UnsupportedError(
            f"reset {layer.reset!r} has no counterpart in Lava",
            where=f"layer {layer.name}",
            allowed='reset "zero": every fixed-point LIF of Lava 0.10.0 sets v to 0 when it fires',
            fix='compile with reset="zero", which approximates it, or run it in the simulator, which has both',
        )
    plan: dict[str, Any] = {
        "name": layer.name,
        "process": f"layer{k}",
        "size": layer.size,
        "latency": layer.latency,
        "bias_exp": layer.bias_exp,
        "record": {name: f"{tag}-layer{k}-{name}.bin" for name in record},
    }
    for name in ("du", "dv", "vth", "bias"):
        value = np.asarray(getattr(layer, name), np.int32)
        if value.size and (value == value.flat[0]).all():
            value = value.reshape(-1)[:1]
        plan[name] = _keep(value, f"{tag}-layer{k}-{name}", arrays)
    return plan


def _connection(program: Program, connection: Connection, k: int, tag: str, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    if connection.delay > MAX_DELAY:
        raise UnsupportedError(
            f"delay {connection.delay}",
            where=f"connection {connection.name}",
            allowed=f"0 to {MAX_DELAY}",
            fix="relay neurons in between (the compiler sets them), or the simulator",
        )
    plan: dict[str, Any] = {
        "process": f"connection{k}",
        "source": connection.source,
        "target": connection.target,
        "weight_exp": connection.weight_exp,
        "weight_bits": connection.weight_bits,
        "message_bits": connection.message_bits,
        "sign_mode": connection.sign_mode,
        "delay": connection.delay,
    }
    synapses, key = connection.synapses, f"{tag}-connection{k}"
    if isinstance(synapses, Conv):
        return plan | _convolution(program, connection, key, arrays)
    if isinstance(synapses, Dense):
        weight = synapses.weight
        if not connection.delay and np.count_nonzero(weight) >= DENSE_ENOUGH * weight.size:
            return plan | {"kind": "dense", "weight": _keep(weight, f"{key}-weight", arrays)}
        rows, columns = np.nonzero(weight)
        indptr = np.searchsorted(rows, np.arange(weight.shape[0] + 1))
        return plan | _sparse(weight.shape, weight[rows, columns], columns, indptr, key, arrays)
    return plan | _sparse(synapses.shape, synapses.data, synapses.indices, synapses.indptr, key, arrays)


def _convolution(program: Program, connection: Connection, key: str, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Lava's Sparse where it computes the same integers, many times as fast; else Lava's Conv."""
    conv = connection.synapses
    assert isinstance(conv, Conv)
    source, target = program.nodes[connection.source].shape, program.nodes[connection.target].shape
    mode = _unchanged_by_sparse(conv.weight)
    if mode is not None and _largest_sum(program, connection) < ACCUMULATOR:
        data, indices, indptr = unroll(connection, source, target)
        shape = (len(indptr) - 1, program.nodes[connection.source].size)
        return {"sign_mode": mode, "weight_bits": 8} | _sparse(shape, data, indices, indptr, key, arrays)
    if connection.delay or connection.weight_exp < 0 or _largest_sum(program, connection) >= CONV_LIMIT:
        raise UnsupportedError(
            f"a convolution with weights from {conv.weight.min()} to {conv.weight.max()}, "
            f"weight_exp {connection.weight_exp} and delay {connection.delay}",
            where=f"connection {connection.name}",
            allowed="even weights from -256 to 254 (or one sign, up to 255) whose sums stay below 2^23; others only without "
            "delay, with weight_exp at least 0 and with sums below 2^31, because Lava's Conv has neither and counts in floats",
            fix="keep to the weights that the compiler emits, or run it in the simulator",
        )
    g = grid(connection, source, target)
    # Lava's Conv convolves (the kernel flipped), channels last, and ignores weight_exp; int32 weights take the shift.
    weight = conv.weight[:, :, ::-1, ::-1].transpose(0, 2, 3, 1).astype(np.int32) << connection.weight_exp
    return {
        "kind": "conv",
        "weight": _keep(weight, f"{key}-weight", arrays),
        "source_shape": [g.c_in, g.h_in, g.w_in],
        "input_shape": [g.h_in, g.w_in, g.c_in],
        "stride": list(conv.stride),
        "padding": list(conv.padding),
        "dilation": list(conv.dilation),
        "groups": conv.groups,
    }


def _sparse(
    shape: tuple[int, ...],
    data: NDArray[Any],
    indices: NDArray[Any],
    indptr: NDArray[Any],
    key: str,
    arrays: dict[str, NDArray[Any]],
) -> dict[str, Any]:
    return {
        "kind": "sparse",
        "shape": [int(n) for n in shape],
        "data": _keep(data, f"{key}-data", arrays),
        "indices": _keep(indices.astype(np.int32), f"{key}-indices", arrays),
        "indptr": _keep(indptr.astype(np.int64), f"{key}-indptr", arrays),
    }


def _unchanged_by_sparse(weight: NDArray[np.int16]) -> SignMode | None:
    """A sign mode under which Lava's Sparse, at 8 bits, leaves every weight as it is; None where there is none."""
    low, high = int(weight.min(initial=0)), int(weight.max(initial=0))
    if low >= 0 and high <= 255:
        return "excitatory"
    if high <= 0 and low >= -255:
        return "inhibitory"
    if low >= -256 and high <= 255 and not (weight & 1).any():
        return "mixed"
    return None


def _largest_sum(program: Program, connection: Connection) -> int:
    """No shifted sum of a convolution can be larger than this in magnitude."""
    conv = connection.synapses
    assert isinstance(conv, Conv)
    node = program.nodes[connection.source]
    message = 2**node.message_bits if isinstance(node, Input) and connection.message_bits else 1
    row = int(np.abs(conv.weight.astype(np.int64)).sum(axis=(1, 2, 3)).max(initial=0))
    return row * message << max(connection.weight_exp, 0)


def _ties(program: Program, tag: str, arrays: dict[str, NDArray[Any]]) -> list[dict[str, Any]]:
    """Connections of weight zero between parts that are not connected: Lava runs one connected network, and finds no other."""
    root = {name: name for name in program.nodes}

    def find(name: str) -> str:
        while root[name] != name:
            name = root[name]
        return name

    for connection in program.connections:
        root[find(connection.source)] = find(connection.target)
    start = program.layers[0]
    ties = []
    for k, layer in enumerate(program.layers[1:], start=1):
        if find(layer.name) == find(start.name):
            continue
        root[find(layer.name)] = find(start.name)
        nothing = np.zeros(0, np.int16)
        indptr = np.zeros(layer.size + 1, np.int64)
        ties.append(
            {
                "process": f"tie{k}",
                "source": start.name,
                "target": layer.name,
                "weight_exp": 0,
                "weight_bits": 8,
                "message_bits": 0,
                "sign_mode": "mixed",
                "delay": 0,
                **_sparse((layer.size, start.size), nothing, nothing, indptr, f"{tag}-tie{k}", arrays),
            }
        )
    return ties


def _keep(value: NDArray[Any], key: str, arrays: dict[str, NDArray[Any]]) -> str:
    arrays[key] = value
    return key
