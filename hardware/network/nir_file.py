"""A NIR file read straight from HDF5, so that what `nir.read` refuses or mistakes can still be judged node by node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from filopodia.hardware.network.hdf5 import Reader, open_hdf5, text
from filopodia.hardware.network.raw import MAX_DEPTH, MAX_NODES, RawGraph, RawNode, single_node_graph


def read_nir(path: Path) -> RawGraph:
    """The graph in file `path`. `FileError` when it is missing, not HDF5, damaged, or not a NIR graph."""
    with open_hdf5(path) as reader:
        group = reader.group(reader.root, "node", "the file")
        if group is None:
            raise reader.wrong("not a NIR file: it has no group 'node'", "the file", fix="write it with nir.write")
        node = _Nodes(reader).node(group, "", 0)
        return node if isinstance(node, RawGraph) else single_node_graph(node)


class _Nodes:
    """Groups to raw nodes, counting them on the way."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.count = 0

    def node(self, group: Any, name: str, depth: int) -> RawNode | RawGraph:
        import h5py

        at = f"node {name!r}" if name else "the graph"
        self.count += 1
        if depth > MAX_DEPTH:
            raise self.reader.wrong("graphs nested too deeply, or in a circle", at, allowed=f"{MAX_DEPTH} levels")
        if self.count > MAX_NODES:
            raise self.reader.wrong("too many nodes", at, allowed=f"{MAX_NODES}")
        if not isinstance(group, h5py.Group):
            raise self.reader.wrong("not a group", at, allowed="one group per node, with its type and fields")
        if self.reader.member(group, "type", at) is None:
            nested = any(isinstance(self.reader.member(group, key, at), h5py.Group) for key in group)
            hint = "; a '/' in a node's name splits it into groups like this" if nested else ""
            raise self.reader.wrong(f"no field 'type'{hint}", at, fix="write the graph again, with names free of '/'")
        kind = self.reader.value(group, "type", at)
        if not isinstance(kind, str):
            raise self.reader.wrong(f"type is {kind!r}", at, allowed="the name of a NIR type")
        if kind == "NIRGraph":
            return self.graph(group, name, depth)
        fields = {}
        for key in group:
            if key not in ("type", "metadata") and self.reader.is_dataset(group, key, at):
                fields[key] = self.reader.value(group, key, at)
        said = self.reader.group(group, "metadata", at)
        return RawNode(kind, fields, {} if said is None else self.reader.mapping(said, at))

    def graph(self, group: Any, name: str, depth: int) -> RawGraph:
        at = f"node {name!r}" if name else "the graph"
        members = self.reader.group(group, "nodes", at)
        if members is None:
            raise self.reader.wrong("no group 'nodes'", at)
        prefix = f"{name}." if name else ""
        nodes = {
            key: self.node(self.reader.member(members, key, f"node {prefix + key!r}"), prefix + key, depth + 1)
            for key in members
        }
        edges: tuple[tuple[str, str], ...] = ()
        if self.reader.member(group, "edges", at) is not None:
            stored = self.reader.value(group, "edges", at)
            if getattr(stored, "size", 0):
                if stored.ndim != 2 or stored.shape[1] != 2 or stored.dtype.kind not in "SO":
                    raise self.reader.wrong(f"edges of shape {list(stored.shape)}", at, allowed="pairs of node names")
                edges = tuple((text(a), text(b)) for a, b in stored)
        metadata = self.reader.group(group, "metadata", at)
        return RawGraph(nodes, edges, {} if metadata is None else self.reader.mapping(metadata, at))
