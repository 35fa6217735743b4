"""One flat graph out of nested ones: subgraphs inlined, every edge checked, missing ends added."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

from filopodia.errors import FileError
from filopodia.hardware.network.raw import MAX_NODES, RawGraph, RawNode

MAX_EDGES = 50_000
_ENDS = ("Input", "Output")


@dataclass(frozen=True, eq=False)
class FlatGraph:
    """Nodes and edges without nesting; a node of a subgraph is named `subgraph.node`."""

    nodes: dict[str, RawNode]
    edges: list[tuple[str, str]]


def inline(graph: RawGraph) -> FlatGraph:
    """Take the nodes of subgraphs up, and connect what was connected through their Input and Output nodes.

    As `nir` does, a node that nothing leads to gets an Input `input_<name>`, one that leads nowhere an Output
    `output_<name>`. `FileError` names the edge or node that cannot be placed.
    """
    flat = _flatten(graph, "")
    _add_ends(flat)
    return flat


def _flatten(graph: RawGraph, prefix: str) -> FlatGraph:
    graph = _mended(graph, prefix)
    _check_edges(graph, prefix)
    flat = FlatGraph({}, [])
    for name, node in graph.nodes.items():
        if isinstance(node, RawGraph):
            inner = _flatten(node, f"{prefix}{name}.")
            for inner_name, inner_node in inner.nodes.items():
                _add(flat, inner_name, inner_node)
            flat.edges.extend(inner.edges)
        else:
            _add(flat, prefix + name, node)
    for source, target in graph.edges:
        start = _port(graph, source, "Output", prefix)
        end = _port(graph, target, "Input", prefix)
        flat.edges.append((start, end))
    for name, node in graph.nodes.items():
        if isinstance(node, RawGraph):
            for port, kind in _ports(node):
                _bypass(flat, f"{prefix}{name}.{port}", kind)
    return flat


def _add(flat: FlatGraph, name: str, node: RawNode) -> None:
    if name in flat.nodes:
        raise FileError("two nodes get this name once subgraphs are inlined", where=f"node {name!r}", fix="rename one of them")
    if len(flat.nodes) >= MAX_NODES:
        raise FileError(f"more than {MAX_NODES} nodes", where="graph", allowed=f"at most {MAX_NODES} nodes")
    flat.nodes[name] = node


def _ports(graph: RawGraph) -> list[tuple[str, str]]:
    return [(n, x.kind) for n, x in graph.nodes.items() if isinstance(x, RawNode) and x.kind in _ENDS]


def _port(graph: RawGraph, end: str, kind: str, prefix: str) -> str:
    """The flat name of an edge's end; for a subgraph, of its only Input or Output, or of the one named after a dot."""
    node = graph.nodes.get(end)
    if isinstance(node, RawNode):
        return prefix + end
    if node is None:  # "subgraph.port", which _check_edges has let through
        return prefix + end
    ports = [name for name, k in _ports(node) if k == kind]
    if len(ports) != 1:
        raise FileError(
            f"subgraph with {len(ports)} {kind} nodes, where an edge needs exactly one",
            where=f"node {prefix + end!r}",
            fix=f"name the port in the edge: {end}.<{kind.lower()} name>" if ports else f"give the subgraph an {kind} node",
        )
    return f"{prefix}{end}.{ports[0]}"


def _check_edges(graph: RawGraph, prefix: str) -> None:
    if len(graph.edges) > MAX_EDGES:
        raise FileError(f"{len(graph.edges)} edges", where=prefix.rstrip(".") or "graph", allowed=f"at most {MAX_EDGES}")
    for edge in graph.edges:
        for end, kind in zip(edge, ("Output", "Input"), strict=True):
            if end in graph.nodes or _is_port(graph, end, kind):
                continue
            close = difflib.get_close_matches(end, list(graph.nodes), n=1)
            raise FileError(
                f"no node named {prefix + end!r}",
                where=f"edge {prefix}{edge[0]} -> {prefix}{edge[1]}",
                allowed=_listed([prefix + name for name in graph.nodes]),
                fix=f"did the writer mean {prefix + close[0]!r}?" if close else "add the node or drop the edge",
            )


def _mended(graph: RawGraph, prefix: str) -> RawGraph:
    """The graph with a node's misspelt name put right in its edges, and a warning.

    The recurrent subgraphs published with the NIR paper say `lif` in their edges and `lif1` in their nodes. A name is taken
    for a node's only when it is the one unknown name, the node the one that no edge names, and one begins the other.
    """
    named = {end for edge in graph.edges for end in edge}
    unknown = [n for n in sorted(named) if n not in graph.nodes and "." not in n]
    alone = [n for n, x in graph.nodes.items() if n not in named and (isinstance(x, RawGraph) or x.kind not in _ENDS)]
    if len(unknown) != 1 or len(alone) != 1 or not (alone[0].startswith(unknown[0]) or unknown[0].startswith(alone[0])):
        return graph
    (said,), (meant,) = unknown, alone
    warnings.warn(f"edges name {prefix + said!r}, which is no node; taken as {prefix + meant!r}", UserWarning, stacklevel=2)
    edges = tuple((meant if a == said else a, meant if b == said else b) for a, b in graph.edges)
    return replace(graph, edges=edges)


def _is_port(graph: RawGraph, end: str, kind: str) -> bool:
    name, _, port = end.rpartition(".")
    node = graph.nodes.get(name)
    return isinstance(node, RawGraph) and (port, kind) in _ports(node)


def _bypass(flat: FlatGraph, port: str, kind: str) -> None:
    """Drop a subgraph's Input or Output node and join what led to it with what it led to.

    An Input that nothing feeds, or an Output that feeds nothing, goes away too: it is no end of the whole graph.
    """
    sources = [a for a, b in flat.edges if b == port]
    targets = [b for a, b in flat.edges if a == port]
    if port in sources:
        raise FileError("a loop with nothing in it", where=f"node {port!r}", fix="drop the edge that closes it")
    if kind == "Input" and not sources:
        raise FileError("an Input of a subgraph that no edge leads to", where=f"node {port!r}", fix="add the edge")
    if len(sources) * len(targets) + len(flat.edges) > MAX_EDGES:
        raise FileError("too many edges once subgraphs are inlined", where=f"node {port!r}", allowed=f"{MAX_EDGES}")
    joined: list[tuple[str, str]] = []
    placed = False
    for edge in flat.edges:
        if port not in edge:
            joined.append(edge)
        elif not placed:  # in the place of the first edge, so that the order of sums stays close to what was written
            joined.extend((a, b) for a in sources for b in targets)
            placed = True
    flat.edges[:] = joined
    del flat.nodes[port]


def _add_ends(flat: FlatGraph) -> None:
    led_to = {target for _, target in flat.edges}
    leading = {source for source, _ in flat.edges}
    for name, node in list(flat.nodes.items()):
        if node.kind == "Input" and name in led_to:
            raise FileError("an edge leads to an Input", where=f"node {name!r}", fix="drop the edge")
        if node.kind == "Output" and name in leading:
            raise FileError("an edge leaves an Output", where=f"node {name!r}", fix="drop the edge")
        if name not in led_to and node.kind != "Input":
            if node.kind == "Output":
                raise FileError("no edge leads to this Output", where=f"node {name!r}", fix="add the edge or drop the node")
            end = _free(f"input_{name}", flat.nodes.__contains__)
            flat.nodes[end] = RawNode("Input", {})
            flat.edges.append((end, name))
        if name not in leading and node.kind not in _ENDS:
            end = _free(f"output_{name}", flat.nodes.__contains__)
            flat.nodes[end] = RawNode("Output", {})
            flat.edges.append((name, end))


def _free(name: str, taken: Callable[[str], bool]) -> str:
    free, count = name, 0
    while taken(free):
        free, count = f"{name}_{count}", count + 1
    return free


def _listed(names: list[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
