"""Latency: when each layer sees a sample, and the delays that make unequal paths meet.

A connection takes one step. A layer's latency is the longest way to it from an input; a connection on a shorter way gets the
difference as synaptic delay. In sample time every projection then takes exactly the steps the network says: none forward, one
on a recurrent edge, and those of Delay nodes.
"""

from __future__ import annotations

from filopodia.errors import UnsupportedError
from filopodia.hardware.compiler.lower import Lowered, Projection


def latencies(lowered: Lowered) -> dict[str, int]:
    """Latency of every input (0) and population. Raises UnsupportedError for a loop that hardware cannot run in its time."""
    latency = dict.fromkeys(lowered.inputs, 0) | dict.fromkeys(lowered.populations, 1)
    for _ in range(len(latency) + 1):
        late = [p for p in lowered.projections if latency[p.source] + 1 - p.steps > latency[p.target]]
        if not late:
            return latency
        for projection in late:
            latency[projection.target] = max(latency[projection.target], latency[projection.source] + 1 - projection.steps)
    loop = sorted({p.target for p in late})
    raise UnsupportedError(
        f"a loop through {', '.join(loop)} has to answer in fewer steps than it has layers; each connection takes one step",
        where=loop[0],
        allowed="recurrence of a layer onto itself, or loops with as many steps of Delay as connections",
    )


def delay(projection: Projection, latency: dict[str, int]) -> int:
    """Steps of synaptic delay that make a projection take `projection.steps` in sample time."""
    return projection.steps + latency[projection.target] - latency[projection.source] - 1
