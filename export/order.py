"""The order in which a NIR graph is computed within a step, and which edges carry the value of the step before.

A loop needs a neuron on it; what closes the loop is an edge out of a neuron, which hands on what the neuron sent one step ago
(0 before the first). Where a loop holds several neurons, the one met first on the way from the inputs comes first in the step.
`hardware.load` follows the same rule, so both run a file alike.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from filopodia.errors import UnsupportedError

Edge = tuple[str, str]


def order(names: Iterable[str], edges: Sequence[Edge], neurons: Collection[str]) -> tuple[list[str], frozenset[Edge]]:
    """Names in an order that runs, and the edges that are read one step late.

    Raises UnsupportedError for a loop without a neuron: it has no value within a step.
    """
    targets: dict[str, list[str]] = {name: [] for name in names}
    for source, target in edges:
        targets[source].append(target)
    rank = _met(targets)
    late = _late(targets, rank, neurons)
    waiting = dict.fromkeys(targets, 0)
    for edge in edges:
        waiting[edge[1]] += edge not in late
    done: list[str] = []
    ready = [name for name, count in waiting.items() if not count]
    while ready:
        name = min(ready, key=rank.__getitem__)
        ready.remove(name)
        done.append(name)
        for target in targets[name]:
            if (name, target) not in late:
                waiting[target] -= 1
                if not waiting[target]:
                    ready.append(target)
    if len(done) < len(targets):
        stuck = ", ".join(name for name in targets if name not in done)
        raise UnsupportedError(
            "a loop without a neuron has no value within a step", where=f"nodes {stuck}", fix="put a neuron on the loop"
        )
    return done, frozenset(late)


def _met(targets: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Nodes numbered in the order in which a depth-first walk from the roots meets them."""
    led_to = {target for ends in targets.values() for target in ends}
    rank: dict[str, int] = {}
    for root in [*(name for name in targets if name not in led_to), *targets]:
        stack = [root]
        while stack:
            name = stack.pop()
            if name not in rank:
                rank[name] = len(rank)
                stack.extend(reversed(targets[name]))
    return rank


def _late(targets: Mapping[str, Sequence[str]], rank: Mapping[str, int], neurons: Collection[str]) -> set[Edge]:
    """Edges out of a neuron, inside a loop, whose value reaches a neuron of that loop that came no later in the step."""
    late: set[Edge] = set()
    for neuron in neurons:
        for target in targets[neuron]:
            if neuron not in _reached(targets, target):
                continue
            loop = {name for name in _reached(targets, neuron) if neuron in _reached(targets, name)}
            met = {n for n in _reached({k: v if k not in neurons else [] for k, v in targets.items()}, target) if n in neurons}
            if any(rank[other] <= rank[neuron] for other in met & loop):
                late.add((neuron, target))
    return late


def _reached(targets: Mapping[str, Sequence[str]], start: str) -> set[str]:
    """Nodes that a value at `start` gets to, `start` among them."""
    seen: set[str] = set()
    stack = [start]
    while stack:
        name = stack.pop()
        if name not in seen:
            seen.add(name)
            stack.extend(targets[name])
    return seen


def sources(edges: Sequence[Edge], names: Iterable[str]) -> Mapping[str, list[str]]:
    """Names with an edge into each name, in the order of the edges."""
    into: dict[str, list[str]] = {name: [] for name in names}
    for source, target in edges:
        into[target].append(source)
    return into
