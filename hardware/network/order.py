"""The order in which nodes are worked out within a step, and the edges whose value arrives one step later.

A loop can only be run when something on it holds state. What closes a loop is always an edge out of a neuron: it hands on
what the neuron sent in the step before. A Delay of one step or more needs no such edge, it is late by itself.

Which neuron of a loop comes first is decided by the order of the edges, walking from the inputs: the edge that leads back
is the late one. With one neuron on every loop (a recurrent layer) there is no choice to make.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from filopodia.errors import UnsupportedError

Edge = tuple[str, str]


@dataclass(frozen=True)
class Order:
    """`nodes` in an order that runs; `feedback` holds the edges that carry the step before."""

    nodes: tuple[str, ...]
    feedback: tuple[Edge, ...]


def order_nodes(nodes: Sequence[str], edges: Iterable[Edge], neurons: Collection[str], delays: Collection[str]) -> Order:
    """Order `nodes`; `neurons` hold state and send it on, `delays` are the Delay nodes of one step or more.

    `UnsupportedError` for a loop that holds neither: its value within a step is not defined.
    """
    same_step = [(a, b) for a, b in dict.fromkeys(edges) if b not in delays]
    targets: dict[str, list[str]] = {name: [] for name in nodes}
    for a, b in same_step:
        targets[a].append(b)
    rank = _walk(nodes, targets)
    loop_of = _loops(nodes, targets, rank)
    reached = _neurons_reached(nodes, targets, set(neurons), loop_of)
    feedback = tuple(
        (a, b)
        for a, b in same_step
        if a in neurons and loop_of[a] == loop_of[b] and any(rank[m] <= rank[a] for m in reached[b])
    )
    return Order(_topological(nodes, same_step, set(feedback), rank), feedback)


def _walk(nodes: Sequence[str], targets: dict[str, list[str]]) -> dict[str, int]:
    """Nodes numbered in the order in which a depth-first walk from the roots first meets them."""
    led_to = {b for ends in targets.values() for b in ends}
    rank: dict[str, int] = {}
    for root in [n for n in nodes if n not in led_to] + list(nodes):
        stack = [root]
        while stack:
            node = stack.pop()
            if node not in rank:
                rank[node] = len(rank)
                stack.extend(reversed(targets[node]))
    return rank


def _loops(nodes: Sequence[str], targets: dict[str, list[str]], rank: dict[str, int]) -> dict[str, int]:
    """Each node's strongly connected component (Kosaraju: finishing order, then the reversed graph)."""
    finished: list[str] = []
    seen: set[str] = set()
    for root in sorted(nodes, key=rank.__getitem__):
        if root in seen:
            continue
        seen.add(root)
        stack = [(root, iter(targets[root]))]
        while stack:
            node, rest = stack[-1]
            for target in rest:
                if target not in seen:
                    seen.add(target)
                    stack.append((target, iter(targets[target])))
                    break
            else:
                finished.append(node)
                stack.pop()
    sources: dict[str, list[str]] = {name: [] for name in nodes}
    for a, ends in targets.items():
        for b in ends:
            sources[b].append(a)
    component: dict[str, int] = {}
    for root in reversed(finished):
        if root in component:
            continue
        number = len(component)
        todo = [root]
        while todo:
            node = todo.pop()
            if node not in component:
                component[node] = number
                todo.extend(sources[node])
    return component


def _neurons_reached(
    nodes: Sequence[str], targets: dict[str, list[str]], neurons: set[str], loop_of: dict[str, int]
) -> dict[str, set[str]]:
    """For each node the neurons of its own loop that its value reaches within the step (itself, if it is one)."""
    members: dict[int, list[str]] = {}
    for name in nodes:
        members.setdefault(loop_of[name], []).append(name)
    sources: dict[str, list[str]] = {name: [] for name in nodes}
    for a, ends in targets.items():
        for b in ends:
            if loop_of[a] == loop_of[b]:
                sources[b].append(a)
    reached: dict[str, set[str]] = {name: set() for name in nodes}
    for group in members.values():
        for neuron in (n for n in group if n in neurons):
            todo = [neuron]
            while todo:
                node = todo.pop()
                if neuron not in reached[node]:
                    reached[node].add(neuron)
                    todo.extend(s for s in sources[node] if s not in neurons)
    return reached


def _topological(nodes: Sequence[str], edges: Sequence[Edge], feedback: set[Edge], rank: dict[str, int]) -> tuple[str, ...]:
    waiting = dict.fromkeys(nodes, 0)
    targets: dict[str, list[str]] = {name: [] for name in nodes}
    for edge in edges:
        if edge not in feedback:
            targets[edge[0]].append(edge[1])
            waiting[edge[1]] += 1
    ready = [(rank[name], name) for name, count in waiting.items() if count == 0]
    heapq.heapify(ready)
    ordered: list[str] = []
    while ready:
        _, name = heapq.heappop(ready)
        ordered.append(name)
        for target in targets[name]:
            waiting[target] -= 1
            if waiting[target] == 0:
                heapq.heappush(ready, (rank[target], target))
    if len(ordered) < len(nodes):
        stuck = [name for name in nodes if waiting[name] > 0]
        raise UnsupportedError(
            "a loop without a neuron or a Delay on it, which has no value within a step",
            where=f"nodes {', '.join(stuck[:6])}",
            fix="put a neuron or a Delay of at least one step on the loop",
        )
    return tuple(ordered)
