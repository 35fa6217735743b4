"""Writing a NIR graph: the file `nir.read` reads, node by node, without copying the graph in memory first."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np

from filopodia.files import written_whole

WHOLE = 2**26  # bytes; larger arrays are cut into chunks
SMALL = 64  # values; a chunked, compressed data set of fewer costs more than it saves


def write_nir(graph: nir.NIRGraph, path: str | Path) -> Path:
    """Write `graph` as a NIR file (gzip), beside its place first, then moved there. Returns the path.

    The file is HDF5 1.10 (2016), half the size of older formats where arrays are small.
    """
    whole = io.BytesIO()  # HDF5 crashes the process when it closes a file that it cannot write to the end: a full disk
    with h5py.File(whole, "w", libver=("v110", "v110")) as file:
        file.create_dataset("version", data=nir.version, dtype=h5py.string_dtype())
        _graph(file.create_group("node"), graph)
    with written_whole(path) as beside:
        beside.write_bytes(whole.getbuffer())
    return Path(path)


def _graph(group: h5py.Group, graph: nir.NIRGraph) -> None:
    _entry(group, "type", "NIRGraph")
    edges = np.array([[str(a), str(b)] for a, b in graph.edges], dtype=object).reshape(-1, 2)
    group.create_dataset("edges", data=edges, dtype=h5py.string_dtype())
    _entry(group, "metadata", graph.metadata)
    nodes = group.create_group("nodes", track_order=True)
    for name, node in graph.nodes.items():
        inner = nodes.create_group(name)
        if isinstance(node, nir.NIRGraph):
            _graph(inner, node)
        else:
            _node(inner, node)


def _node(group: h5py.Group, node: Any) -> None:
    kind = type(node).__name__
    _entry(group, "type", kind)
    if isinstance(node, nir.Input | nir.Output):
        types = node.input_type if isinstance(node, nir.Input) else node.output_type
        _entry(group, "shape", np.asarray(next(iter(types.values()))))
    for entry in fields(node):
        if entry.name in ("input_type", "output_type", "metadata"):
            continue
        _entry(group, entry.name, getattr(node, entry.name))
    if isinstance(node, nir.Flatten):
        _entry(group, "input_type", np.asarray(node.input_type["input"]))
    _entry(group, "metadata", node.metadata)


def _entry(group: h5py.Group, name: str, value: Any) -> None:
    if isinstance(value, Mapping):
        if value:
            inner = group.create_group(name)
            for key, item in value.items():
                _entry(inner, str(key), item)
    elif isinstance(value, str):
        group.create_dataset(name, data=value, dtype=h5py.string_dtype())
    elif isinstance(value, np.ndarray) and value.size > SMALL:
        chunks = value.shape if value.nbytes <= WHOLE else True  # one chunk compresses best
        group.create_dataset(name, data=value, chunks=chunks, compression="gzip", compression_opts=6)
    else:
        group.create_dataset(name, data=value)
