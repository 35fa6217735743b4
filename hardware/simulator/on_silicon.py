"""Runs as Loihi's silicon would make them: on the kernels wherever that is the same, else by the readable reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.hardware.activity import Activity, Counts
from filopodia.hardware.program import Input, Program
from filopodia.hardware.simulator import counting, geometry, reference, run, silicon
from filopodia.hardware.simulator.prepared import prepare

Progress = Callable[[str, int, int], None]

BACKEND = "simulator, silicon's arithmetic"
STATE_BYTES = 9  # of a neuron and step while the reference runs: u, v and a spike


def run_on_silicon(
    program: Program,
    given: dict[str, NDArray[Any]],
    record: frozenset[str],
    threads: int | None,
    memory: int,
    progress: Progress | None,
) -> Activity:
    """Run a program on checked messages [T, N, *shape] by the rules of `silicon`; see `simulate`.

    Kernels run wherever weights that act alike on Lava can stand for the chip's and nothing can overflow; counts are of the
    program as it was given. Raises ChipLimitError where the chip's fields cannot hold the program's numbers.
    """
    geometry.check(program)
    chip = silicon.on_silicon(program)
    steps = next(iter(given.values())).shape[0]
    safe = silicon.cannot_overflow(chip, steps)
    if safe and chip is program:
        return replace(run.run(prepare(program), given, record, threads, memory, progress), backend=BACKEND)
    if safe:
        ran = run.run(prepare(chip), given, record | {"spikes"}, threads, memory, progress, counts=False)
    else:
        ran = run_reference(chip, given, record, memory, progress, silicon.update)
    kept = ran.spikes if "spikes" in record else {}
    return replace(ran, backend=BACKEND, spikes=kept, counts=counts(program, ran.spikes))


def run_reference(
    program: Program,
    given: dict[str, NDArray[Any]],
    record: frozenset[str],
    memory: int,
    progress: Progress | None,
    rule: reference.Rule,
) -> Activity:
    """Run a program by the readable reference under a rule; spikes are always recorded, counts are left to the caller."""
    steps, samples = next(iter(given.values())).shape[:2]
    shapes = {layer.name: (steps, samples, *layer.shape) for layer in program.layers}
    spikes = {name: np.zeros(shape, np.bool_) for name, shape in shapes.items()}
    states: dict[str, dict[str, NDArray[Any]]] = {
        state: {name: np.zeros(shape, np.int32) for name, shape in shapes.items()} for state in ("u", "v") if state in record
    }
    each = STATE_BYTES * steps * sum(layer.size for layer in program.layers)
    size = max(1, min(samples, memory // max(each, 1)))
    for start in range(0, samples, size):
        part = slice(start, start + size)
        trace = reference.run(program, {name: x[:, part] for name, x in given.items()}, rule)
        for name, kept in spikes.items():
            kept[:, part] = trace.spikes[name].reshape(kept[:, part].shape)
            for state, of in states.items():
                of[name][:, part] = getattr(trace, state)[name].reshape(kept[:, part].shape)
        if progress is not None:
            progress("simulate", min(start + size, samples), samples)
    sent: dict[str, NDArray[Any]] = {**given, **spikes}
    rates = {name: sent[name].sum(axis=0, dtype=np.int32) for name in program.outputs}
    return Activity("reference", steps, samples, sent, rates, states)


def counts(program: Program, sent: Mapping[str, NDArray[Any]]) -> dict[str, Counts]:
    """The exact events of a run, from what every node sent: [T, N, *shape] by name."""
    steps, samples = next(iter(sent.values())).shape[:2]
    fired = {name: (x != 0).reshape(steps, samples, -1) for name, x in sent.items()}
    synops = {name: np.zeros((steps, samples), np.int64) for name in program.nodes}
    for connection in program.connections:
        lag = program.lag(connection)
        reached = fired[connection.source] @ counting.fan_out(program, connection)
        synops[connection.target][lag:] += reached[: max(steps - lag, 0)]
    cores = counting.destinations(program)
    made = {}
    for name, node in program.nodes.items():
        updated = np.full((steps, samples), 0 if isinstance(node, Input) else node.size, np.int64)
        made[name] = Counts(fired[name].sum(axis=2, dtype=np.int64), synops[name], updated, fired[name] @ cores[name])
    return made
