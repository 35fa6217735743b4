"""The graph as it was found, before anything is believed: node types and fields by name, edges, metadata.

Both ways in lead here: a `nir.NIRGraph` in memory, or an HDF5 file read without `nir` (`nir_file`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from filopodia.errors import FileError

MAX_DEPTH = 32  # graphs nested in graphs; published files nest once
MAX_NODES = 10_000


@dataclass(frozen=True, eq=False)
class RawNode:
    """One node: the name of its NIR type, its fields (numpy arrays, numbers, text) as stored, and its own metadata."""

    kind: str
    fields: Mapping[str, Any]
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class RawGraph:
    """Nodes by name (graphs may nest), edges in the order they were written, and the graph's metadata."""

    nodes: Mapping[str, RawNode | RawGraph]
    edges: tuple[tuple[str, str], ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)


def raw_graph(graph: Any) -> RawGraph:
    """A `nir.NIRGraph` in memory as a `RawGraph`. `FileError` past `MAX_DEPTH` levels or `MAX_NODES` nodes."""
    return _raw_graph(graph, "", 0, itertools.count(1))


def _raw_graph(graph: Any, path: str, depth: int, count: Iterator[int]) -> RawGraph:
    if depth > MAX_DEPTH:
        raise FileError("graphs nested too deeply", where=f"node {path!r}", allowed=f"at most {MAX_DEPTH} levels")
    nodes: dict[str, RawNode | RawGraph] = {}
    for name, node in graph.nodes.items():
        if next(count) > MAX_NODES:
            raise FileError("too many nodes", where=f"node {path!r}", allowed=f"at most {MAX_NODES}")
        kind = type(node).__name__
        if kind == "NIRGraph":
            nodes[name] = _raw_graph(node, f"{path}.{name}" if path else name, depth + 1, count)
        else:
            nodes[name] = RawNode(kind, _fields(node, kind), dict(getattr(node, "metadata", None) or {}))
    return RawGraph(nodes, tuple((str(a), str(b)) for a, b in graph.edges), dict(graph.metadata or {}))


def single_node_graph(node: RawNode) -> RawGraph:
    """A graph of one node, for files that hold nothing else; Input and Output are added when it is inlined."""
    return RawGraph({"node": node}, ())


def _fields(node: Any, kind: str) -> dict[str, Any]:
    fields = {k: v for k, v in vars(node).items() if k not in ("input_type", "output_type", "metadata")}
    if kind == "Input":
        fields["shape"] = _shape_of(node.input_type)
    elif kind == "Output":
        fields["shape"] = _shape_of(node.output_type)
    elif kind == "Flatten":
        fields["input_type"] = _shape_of(node.input_type)
    return {k: v for k, v in fields.items() if v is not None}


def _shape_of(types: Any) -> Any:
    if not isinstance(types, Mapping):
        return types
    value = next(iter(types.values()), None)
    return None if value is None else np.asarray(value)
