"""Latency: when each layer sees a sample, and the delays that make unequal paths meet.

A connection takes one step. A layer's latency is the longest way to it from an input; a connection on a shorter way gets the
difference as synaptic delay, and where that is longer than a synapse can wait, relay neurons repeat the spikes on the way. In
sample time every projection then takes exactly the steps the network says: none forward, one on a feedback edge, and those of
Delay nodes.

Before: projections that take a number of steps of sample time. After: the same spikes in the same steps, every population with
a latency, every projection with a delay from 0 to the limit, relays added and nothing else changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from filopodia.errors import UnsupportedError
from filopodia.hardware.compiler.lower import Lowered, Projection, identity
from filopodia.hardware.compiler.neurons import Population, relay


@dataclass(frozen=True, eq=False)
class Timed:
    """A lowered network with the latency of every input (0) and population, all delays within the limit."""

    lowered: Lowered
    latency: Mapping[str, int]

    def delay(self, projection: Projection) -> int:
        """Steps of synaptic delay that make a projection take `projection.steps` in sample time."""
        return projection.steps + self.latency[projection.target] - self.latency[projection.source] - 1


def balance(lowered: Lowered, limit: int) -> Timed:
    """Latencies, and relays wherever a projection would have to wait for more than `limit` steps in a synapse.

    Raises UnsupportedError for a loop that hardware cannot run in its time.
    """
    timed = Timed(lowered, latencies(lowered))
    if all(timed.delay(p) <= limit for p in lowered.projections):
        return timed
    latency = dict(timed.latency)
    populations: dict[str, Population] = {}
    projections: list[Projection] = []
    relays: dict[tuple[str, int], str] = {}
    for projection in lowered.projections:
        source = projection.source
        while projection.steps + latency[projection.target] - latency[source] - 1 > limit:
            key = (projection.source, latency[source] + 1 + limit)
            if key not in relays:
                shape = lowered.shape(projection.source)
                relays[key] = f"{projection.source}.relay{sum(origin == projection.source for origin, _ in relays)}"
                latency[relays[key]] = key[1]
                populations[relays[key]] = relay(relays[key], shape)
                projections.append(Projection(source, relays[key], identity(shape)))
            source = relays[key]
        projections.append(replace(projection, source=source))
    return Timed(replace(lowered, populations=_in_order(lowered, populations), projections=tuple(projections)), latency)


def _in_order(lowered: Lowered, relays: Mapping[str, Population]) -> dict[str, Population]:
    """Relays right after the population that they repeat, those of inputs first."""
    ordered: dict[str, Population] = {}
    for name in (*lowered.inputs, *lowered.populations):
        if name in lowered.populations:
            ordered[name] = lowered.populations[name]
        ordered |= {other: made for other, made in relays.items() if other.rpartition(".relay")[0] == name}
    return ordered


def latencies(lowered: Lowered) -> dict[str, int]:
    """The smallest latencies with which every projection can take its steps. Raises UnsupportedError where there are none."""
    latency = dict.fromkeys(lowered.inputs, 0) | dict.fromkeys(lowered.populations, 1)
    for _ in range(len(latency) + 1):
        late = False
        for projection in lowered.projections:
            earliest = latency[projection.source] + 1 - projection.steps
            if earliest > latency[projection.target]:
                latency[projection.target], late = earliest, True
        if not late:
            return latency
    tight = [p for p in lowered.projections if latency[p.source] + 1 - p.steps > latency[p.target]]
    loop = sorted({p.target for p in tight})
    raise UnsupportedError(
        f"a loop through {', '.join(loop)} has to answer in fewer steps than it has layers; each connection takes one step",
        where=loop[0],
        allowed="recurrence of a layer onto itself, or loops with as many steps of Delay as connections",
    )
