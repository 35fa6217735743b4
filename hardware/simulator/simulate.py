"""`simulate`: run a program (integers) or a network (float32) on this computer, and say exactly what happened."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.errors import InputError
from filopodia.hardware.activity import Activity, Counts
from filopodia.hardware.network.network import Network
from filopodia.hardware.program import Program
from filopodia.hardware.simulator import counting, geometry, reference
from filopodia.hardware.simulator.inputs import messages

Progress = Callable[[str, int, int], None]

RECORDS = ("spikes", "u", "v")


def simulate(
    source: Program | Network,
    spikes: Any,
    *,
    record: Collection[str] = ("spikes",),
    threads: int | None = None,
    memory: int = 2**30,
    progress: Progress | None = None,
) -> Activity:
    """Run `source` on `spikes` [T, N, *input_shape] (or a mapping from input name to such arrays).

    A `Program` runs in int32, bit-exact with Lava's `fixed_pt` models; binary inputs take 0 and 1 in any numeric type,
    graded ones whole numbers of up to `message_bits` bits. A `Network` runs in float32. All samples start from rest.
    `record` names what to keep of every layer and step: "spikes", "u", "v"; rates of the outputs and the counts of a program
    are always there. `threads` defaults to the processors this process may use. `memory` bounds, in bytes, what the call
    allocates, the recorded result included. `progress` is called with ("simulate", samples done, samples in all).

    Raises InputError, before any work, for input of the wrong shape, type or range, NaN, T = 0 or N = 0, for a program
    whose arrays do not fit, for an unknown record, and for a memory bound that cannot hold the result and one sample.
    """
    unknown = [name for name in record if name not in RECORDS]
    if isinstance(record, str) or unknown:
        raise InputError(f"record {record!r}", where="simulate", allowed="any of " + ", ".join(f'"{name}"' for name in RECORDS))
    if threads is not None and threads < 1:
        raise InputError(f"threads {threads}", where="simulate", allowed="at least 1, or None for all processors")
    if isinstance(source, Network):
        from filopodia.hardware.network import simulate_network

        return simulate_network(source, spikes, record=tuple(record), progress=progress)
    if not isinstance(source, Program):
        raise InputError(
            f"a {type(source).__name__}",
            where="simulate",
            allowed="a Program or a Network",
            fix="hardware.load reads NIR files",
        )
    geometry.check(source)
    given = messages(source.inputs, spikes)
    return _run(source, given, frozenset(record), memory, progress)


def _run(
    program: Program, given: dict[str, NDArray[Any]], record: frozenset[str], memory: int, progress: Progress | None
) -> Activity:
    steps, samples = next(iter(given.values())).shape[:2]
    per_sample = steps * sum(10 * node.size for node in program.nodes.values())
    width = min(samples, memory // max(per_sample, 1))
    if width < 1:
        raise InputError(f"memory {memory} bytes", where="simulate", allowed=f"at least {per_sample} bytes, for one sample")
    fan = {c.name + str(i): counting.fan_out(program, c) for i, c in enumerate(program.connections)}
    cores = counting.destinations(program)
    parts: list[reference.Trace] = []
    for start in range(0, samples, width):
        parts.append(reference.run(program, {name: x[:, start : start + width] for name, x in given.items()}))
        if progress is not None:
            progress("simulate", min(start + width, samples), samples)

    def joined(field: str, name: str) -> NDArray[Any]:
        return np.concatenate([getattr(part, field)[name] for part in parts], axis=1)

    sent = {name: x.reshape(steps, samples, -1) for name, x in given.items()}
    sent |= {layer.name: joined("spikes", layer.name) for layer in program.layers}
    counts: dict[str, Counts] = {}
    for name, node in program.nodes.items():
        events = sent[name] != 0
        zero = np.zeros((steps, samples), np.int64)
        synops = zero.copy()
        for i, connection in enumerate(program.connections):
            lag = program.lag(connection)
            if connection.target == name and lag < steps:
                arrived = (sent[connection.source][: steps - lag] != 0).astype(np.float64)
                synops[lag:] += (arrived @ fan[connection.name + str(i)].astype(np.float64)).astype(np.int64)
        updates = zero if name in given else np.full((steps, samples), node.size, np.int64)
        reached = (events.astype(np.float64) @ cores[name].astype(np.float64)).astype(np.int64)
        counts[name] = Counts(events.sum(axis=2), synops, updates, reached)
    shapes = {name: (steps, samples, *node.shape) for name, node in program.nodes.items()}
    layers = [layer.name for layer in program.layers]
    return Activity(
        backend="simulator",
        steps=steps,
        samples=samples,
        spikes={name: x.reshape(shapes[name]) for name, x in sent.items()} if "spikes" in record else {},
        rates={name: sent[name].sum(axis=0, dtype=np.int32).reshape(shapes[name][1:]) for name in program.outputs},
        states={s: {name: joined(s, name).reshape(shapes[name]) for name in layers} for s in ("u", "v") if s in record},
        counts=counts,
    )
