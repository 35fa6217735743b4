"""The program file: a program's arrays in an .npz, its structure as JSON text in the entry "header". Nothing is pickled.

Header: {"format": "filopodia program", "version": 1, ...}. Arrays that several connections share are stored once.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.errors import FileError, InputError
from filopodia.files import written_whole
from filopodia.hardware.program import Connection, Conv, Core, Dense, Input, Layer, Program, Sparse, Synapses

FORMAT = "filopodia program"
VERSION = 1

PARAMETERS = ("du", "dv", "vth", "bias")


class _Arrays:
    """Arrays by key, each object once."""

    def __init__(self) -> None:
        self.stored: dict[str, NDArray[Any]] = {}
        self._keys: dict[int, str] = {}

    def key(self, array: NDArray[Any]) -> str:
        if id(array) not in self._keys:
            self._keys[id(array)] = f"a{len(self.stored)}"
            self.stored[self._keys[id(array)]] = array
        return self._keys[id(array)]


def save_program(program: Program, path: str | Path) -> None:
    """Write a program to `path` (.npz), all of it or nothing."""
    arrays = _Arrays()
    header = {
        "format": FORMAT,
        "version": VERSION,
        "chip": program.chip,
        "inputs": [{"name": x.name, "shape": list(x.shape), "message_bits": x.message_bits} for x in program.inputs],
        "layers": [_layer_header(layer, arrays) for layer in program.layers],
        "connections": [_connection_header(connection, arrays) for connection in program.connections],
        "outputs": list(program.outputs),
        "cores": [_core_header(core, arrays) for core in program.cores],
        "metadata": _plain(program.metadata, "metadata"),
    }
    with written_whole(path) as beside, beside.open("wb") as file:
        np.savez_compressed(file, header=np.array(json.dumps(header)), **arrays.stored)  # type: ignore[arg-type]


def load_program(path: str | Path) -> Program:
    """Read a program file. Raises FileError where it is missing, damaged, of another format or of a newer version."""
    where = str(path)
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise FileError("no such file", where=where, fix="compile a network first") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zipfile.zlib.error) as error:  # type: ignore[attr-defined]
        raise FileError(f"not a whole program file ({error})", where=where, fix="compile the network again") from None
    if "header" not in arrays:
        raise FileError("no header, so not a program file", where=where, allowed=f'an .npz of format "{FORMAT}"')
    try:
        header = json.loads(str(arrays["header"][()]))
        found = (header.get("format"), header.get("version"))
        if found[0] != FORMAT:
            raise FileError(f"a file of format {found[0]!r}", where=where, allowed=f'"{FORMAT}"')
        if found[1] != VERSION:
            raise FileError(
                f"a program file of version {found[1]}",
                where=where,
                allowed=f"version {VERSION}",
                fix="compile the network again",
            )
        return _program(header, arrays)
    except InputError as error:
        raise FileError(f"a program that contradicts itself: {error}", where=where, fix="compile the network again") from None
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise FileError(f"a damaged header ({error!r})", where=where, fix="compile the network again") from None


def _program(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Program:
    return Program(
        inputs=tuple(Input(x["name"], tuple(x["shape"]), x["message_bits"]) for x in header["inputs"]),
        layers=tuple(_layer(x, arrays) for x in header["layers"]),
        connections=tuple(_connection(x, arrays) for x in header["connections"]),
        outputs=tuple(header["outputs"]),
        chip=header["chip"],
        cores=tuple(
            Core(x["index"], x["chip"], tuple(x["position"]), {k: arrays[v] for k, v in x["neurons"].items()}, x["used"])
            for x in header["cores"]
        ),
        metadata=header["metadata"],
    )


def _layer_header(layer: Layer, arrays: _Arrays) -> dict[str, Any]:
    return {
        "name": layer.name,
        "shape": list(layer.shape),
        **{name: arrays.key(getattr(layer, name)) for name in PARAMETERS},
        "bias_exp": layer.bias_exp,
        "reset": layer.reset,
        "latency": layer.latency,
    }


def _layer(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Layer:
    return Layer(
        header["name"],
        tuple(header["shape"]),
        **{name: arrays[header[name]] for name in PARAMETERS},
        bias_exp=header["bias_exp"],
        reset=header["reset"],
        latency=header["latency"],
    )


def _connection_header(connection: Connection, arrays: _Arrays) -> dict[str, Any]:
    settings = ("source", "target", "weight_exp", "weight_bits", "message_bits", "sign_mode", "delay")
    return {**{name: getattr(connection, name) for name in settings}, "synapses": _synapses_header(connection.synapses, arrays)}


def _connection(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Connection:
    settings = {name: value for name, value in header.items() if name != "synapses"}
    return Connection(synapses=_synapses(header["synapses"], arrays), **settings)


def _synapses_header(synapses: Synapses, arrays: _Arrays) -> dict[str, Any]:
    if isinstance(synapses, Dense):
        return {"kind": "dense", "weight": arrays.key(synapses.weight)}
    if isinstance(synapses, Sparse):
        parts = {name: arrays.key(getattr(synapses, name)) for name in ("indptr", "indices", "data")}
        return {"kind": "sparse", "shape": list(synapses.shape), **parts}
    return {
        "kind": "conv",
        "weight": arrays.key(synapses.weight),
        **{name: list(getattr(synapses, name)) for name in ("stride", "padding", "dilation")},
        "groups": synapses.groups,
    }


def _synapses(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Synapses:
    if header["kind"] == "dense":
        return Dense(arrays[header["weight"]])
    if header["kind"] == "sparse":
        return Sparse(tuple(header["shape"]), *(arrays[header[name]] for name in ("indptr", "indices", "data")))
    if header["kind"] != "conv":
        raise KeyError(f"kind {header['kind']}")
    pairs = {name: tuple(header[name]) for name in ("stride", "padding", "dilation")}
    return Conv(arrays[header["weight"]], groups=header["groups"], **pairs)


def _core_header(core: Core, arrays: _Arrays) -> dict[str, Any]:
    return {
        "index": core.index,
        "chip": core.chip,
        "position": list(core.position),
        "neurons": {name: arrays.key(neurons) for name, neurons in core.neurons.items()},
        "used": dict(core.used),
    }


def _plain(value: Any, where: str) -> Any:
    """Plain JSON values; numpy scalars become Python's."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, (np.generic, np.ndarray)) and np.ndim(value) == 0:
        return value.item()
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise InputError(f"a value of type {type(value).__name__}", where=where, allowed="text, numbers, lists and dicts of them")
