"""A NIR file read straight from HDF5, so that what `nir.read` refuses or mistakes can still be judged node by node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from filopodia.errors import FileError
from filopodia.hardware.network.raw import MAX_DEPTH, MAX_NODES, RawGraph, RawNode, single_node_graph

MAX_BYTES = 2**32  # declared size of all arrays together; the largest published graphs stay under 2**28


def read_nir(path: Path) -> RawGraph:
    """The graph in file `path`. `FileError` when it is missing, not HDF5, damaged, or not a NIR graph."""
    import h5py

    if not path.is_file():
        raise FileError("no such file", where=str(path))
    try:
        with h5py.File(path, "r") as file:
            if "node" not in file:
                raise FileError("not a NIR file: it has no group 'node'", where=str(path), fix="write it with nir.write")
            return _Reader(path).top(file["node"])
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, RecursionError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"cannot be read as HDF5: {error}", where=str(path)) from error


class _Reader:
    """Reads groups into raw nodes, counting what it has taken in so far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes = 0
        self.nodes = 0

    def wrong(self, found: str, at: str, **more: str) -> FileError:
        return FileError(found, where=f"{self.path}, {at}", **more)

    def top(self, group: Any) -> RawGraph:
        node = self.node(group, "", 0)
        return node if isinstance(node, RawGraph) else single_node_graph(node)

    def node(self, group: Any, name: str, depth: int) -> RawNode | RawGraph:
        import h5py

        at = f"node {name!r}" if name else "the graph"
        self.nodes += 1
        if depth > MAX_DEPTH or self.nodes > MAX_NODES:
            raise self.wrong(
                "graphs nested too deeply, or in a circle" if depth > MAX_DEPTH else "too many nodes",
                at,
                allowed=f"{MAX_DEPTH} levels and {MAX_NODES} nodes",
            )
        if not isinstance(group, h5py.Group):
            raise self.wrong("not a group", at, allowed="one group per node, with its type and fields")
        if self.link(group, "type", at) is None:
            slash = (
                " (a '/' in a node's name does this to a file)"
                if any(isinstance(v, h5py.Group) for v in group.values())
                else ""
            )
            raise self.wrong(f"no field 'type'{slash}", at, fix="write the graph again with names free of '/'")
        kind = self.value(group, "type", at)
        if not isinstance(kind, str):
            raise self.wrong(f"type is {kind!r}", at, allowed="the name of a NIR type")
        if kind == "NIRGraph":
            return self.graph(group, name, depth)
        fields = {}
        for key in group:
            if key not in ("type", "metadata") and self.is_dataset(group, key, at):
                fields[key] = self.value(group, key, at)
        return RawNode(kind, fields)

    def graph(self, group: Any, name: str, depth: int) -> RawGraph:
        at = f"node {name!r}" if name else "the graph"
        members = self.link(group, "nodes", at)
        if members is None:
            raise self.wrong("no group 'nodes'", at)
        prefix = f"{name}." if name else ""
        nodes = {}
        for key in members:
            nodes[key] = self.node(self.link(members, key, f"node {prefix + key!r}"), prefix + key, depth + 1)
        edges: tuple[tuple[str, str], ...] = ()
        if self.link(group, "edges", at) is not None:
            stored = self.value(group, "edges", at)
            edges = tuple((_text(a), _text(b)) for a, b in stored) if len(stored) else ()
        metadata = self.link(group, "metadata", at)
        return RawGraph(nodes, edges, {} if metadata is None else self.mapping(metadata, at, 0))

    def mapping(self, group: Any, at: str, depth: int) -> dict[str, Any]:
        """Metadata: nested groups of values."""
        if depth > MAX_DEPTH:
            raise self.wrong("metadata nested too deeply, or in a circle", at)
        found: dict[str, Any] = {}
        for key in group:
            item = self.link(group, key, at)
            found[key] = self.value(group, key, at) if self.is_dataset(group, key, at) else self.mapping(item, at, depth + 1)
        return found

    def link(self, group: Any, key: str, at: str) -> Any:
        """What `key` leads to within this file, None where there is nothing. Links out of the file are refused."""
        import h5py

        kind = group.get(key, getlink=True)
        if kind is None:
            return None
        if not isinstance(kind, h5py.HardLink):
            raise self.wrong(f"{key!r} is a link to elsewhere", at, fix="store the data in the file itself")
        return group[key]

    def is_dataset(self, group: Any, key: str, at: str) -> bool:
        import h5py

        return isinstance(self.link(group, key, at), h5py.Dataset)

    def value(self, group: Any, key: str, at: str) -> Any:
        """A dataset's value, its declared size checked before anything is allocated; text as str."""
        import h5py

        dataset = self.link(group, key, at)
        if not isinstance(dataset, h5py.Dataset):
            raise self.wrong(f"{key!r} is no dataset", at)
        if dataset.is_virtual or dataset.external:
            raise self.wrong(f"{key!r} keeps its data in another file", at, fix="store the data in the file itself")
        if dataset.dtype.kind not in "fiubSO" or (dataset.dtype.kind == "O" and not h5py.check_string_dtype(dataset.dtype)):
            raise self.wrong(f"{key!r} holds {dataset.dtype}", at, allowed="numbers or text")
        self.bytes += int(dataset.size or 0) * int(dataset.dtype.itemsize)
        if self.bytes > MAX_BYTES:
            raise self.wrong(
                f"{key!r} has shape {list(dataset.shape)}, which brings the file to {self.bytes} bytes",
                at,
                allowed=f"{MAX_BYTES} bytes",
            )
        value = dataset[()]
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
