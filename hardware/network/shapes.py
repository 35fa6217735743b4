"""Shapes of every node, worked out from the Input nodes forward, whatever order the file lists them in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from filopodia.errors import FileError
from filopodia.hardware.network.build import build, known, own_shape, unknown_kind
from filopodia.hardware.network.fields import Fields, Shape, size
from filopodia.hardware.network.inline import FlatGraph

MAX_SIZE = 2**30  # neurons or values in one node: 1000 chips of Loihi 2


def build_all(graph: FlatGraph) -> tuple[dict[str, Any], dict[str, Shape]]:
    """`nir` nodes with certain parameters, and the shape of each node's output.

    A node takes the shape that its sources send; where a loop or a file without shapes leaves that open, the shape that
    its own parameters have. `FileError` names the first node whose shape stays open or does not fit its sources.
    """
    fields = {name: Fields(name, node.kind, node.fields, node.metadata) for name, node in graph.nodes.items()}
    for node in fields.values():
        if not known(node.kind):
            raise unknown_kind(node)
    sources: dict[str, list[str]] = {name: [] for name in fields}
    targets: dict[str, list[str]] = {name: [] for name in fields}
    for source, target in graph.edges:
        sources[target].append(source)
        targets[source].append(target)

    nodes: dict[str, Any] = {}
    shapes: dict[str, Shape] = {}
    todo = [name for name, node in fields.items() if node.kind == "Input" and own_shape(node)]
    waiting = list(fields)
    while len(shapes) < len(fields):
        while todo:
            name = todo.pop()
            if name in shapes:
                continue
            entering = _entering(name, fields, sources, shapes)
            if entering is not None:
                nodes[name], shapes[name] = _build(fields[name], entering)
                todo.extend(targets[name])
        waiting = [name for name in waiting if name not in shapes]
        if waiting:
            name, shape = _start(waiting, fields, targets, shapes)
            nodes[name], shapes[name] = _build(fields[name], shape)
            todo.extend(targets[name])
    _check_sums(fields, nodes, shapes, sources)
    return nodes, shapes


def _build(fields: Fields, shape: Shape) -> tuple[Any, Shape]:
    node, out = build(fields, shape)
    if size(out) > MAX_SIZE:
        raise fields.wrong(f"{size(out)} values", allowed=f"at most {MAX_SIZE}")
    return node, out


def _entering(
    name: str, fields: Mapping[str, Fields], sources: Mapping[str, list[str]], shapes: Mapping[str, Shape]
) -> Shape | None:
    if fields[name].kind == "Input":
        return own_shape(fields[name])
    return next((shapes[s] for s in sources[name] if s in shapes), None)


def _start(
    waiting: list[str], fields: Mapping[str, Fields], targets: Mapping[str, list[str]], shapes: Mapping[str, Shape]
) -> tuple[str, Shape]:
    """A node to go on with when no source is known: an Input as its target wants it, else a node that knows itself."""
    for name in waiting:
        if fields[name].kind == "Input":
            wanted = next((s for t in targets[name] if (s := own_shape(fields[t])) is not None), None)
            if wanted is not None:
                return name, wanted
    for name in waiting:
        shape = own_shape(fields[name])
        if shape is not None and fields[name].kind != "Output":
            return name, shape
    raise FileError(
        "its shape cannot be worked out",
        where=f"node {waiting[0]!r}",
        fix="store the shape of the Input nodes, without time and sample axes",
    )


def _check_sums(
    fields: Mapping[str, Fields], nodes: Mapping[str, Any], shapes: Mapping[str, Shape], sources: Mapping[str, list[str]]
) -> None:
    for name, node in nodes.items():
        entering = tuple(int(n) for n in node.input_type["input"])
        for source in sources[name]:
            if shapes[source] != entering:
                raise fields[name].wrong(
                    f"takes {list(entering)}, but {source!r} sends {list(shapes[source])}",
                    allowed="one shape for all edges into a node",
                )
