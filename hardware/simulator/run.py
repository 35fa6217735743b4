"""Running a prepared program: tiles of samples, one after the other or on several threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.hardware.activity import Activity, Counts
from filopodia.hardware.simulator.cut import cut
from filopodia.hardware.simulator.prepared import Prepared
from filopodia.hardware.simulator.tile import UPDATES, Result, Tile
from filopodia.hardware.simulator.workers import spread

Progress = Callable[[str, int, int], None]


def run(
    prepared: Prepared,
    given: dict[str, NDArray[Any]],
    record: frozenset[str],
    threads: int | None,
    memory: int,
    progress: Progress | None,
    counts: bool = True,
) -> Activity:
    """Run a program on checked messages [T, N, *shape]; see `simulate`."""
    steps, samples = next(iter(given.values())).shape[:2]
    layout = cut(prepared, record, steps, samples, threads, memory)
    result = _allocate(prepared, given, record, steps, samples)
    starts = range(0, samples, layout.samples)

    def one(start: int) -> int:
        end: int = min(start + layout.samples, samples)
        Tile(prepared, given, result, layout, start, end, record, counts).run()
        return end - start

    done = 0
    for count in spread("tiles", layout.tiles - 1, one, starts):
        done += count
        if progress is not None:
            progress("simulate", done, samples)
    return _activity(prepared, given, result, record, steps, samples, counts)


def _allocate(prepared: Prepared, given: dict[str, NDArray[Any]], record: frozenset[str], steps: int, samples: int) -> Result:
    layers = [prepared.nodes[layer.name] for layer in prepared.program.layers]
    events = np.zeros((4, len(prepared.nodes), steps, samples), np.int64)
    events[UPDATES, len(given) :] = prepared.updates
    return Result(
        {x.name: np.empty((steps, samples, x.size), np.bool_) for x in layers} if "spikes" in record else {},
        {s: {x.name: np.empty((steps, samples, x.size), np.int32) for x in layers} for s in ("u", "v") if s in record},
        {name: np.zeros((samples, prepared.nodes[name].size), np.int32) for name in prepared.program.outputs},
        events,
    )


def _activity(
    prepared: Prepared,
    given: dict[str, NDArray[Any]],
    result: Result,
    record: frozenset[str],
    steps: int,
    samples: int,
    counts: bool,
) -> Activity:
    nodes = prepared.nodes
    spikes: dict[str, NDArray[Any]] = {}
    if "spikes" in record:
        spikes = dict(given) | {name: x.reshape(steps, samples, *nodes[name].shape) for name, x in result.spikes.items()}
    return Activity(
        backend="simulator",
        steps=steps,
        samples=samples,
        spikes=spikes,
        rates={name: x.reshape(samples, *nodes[name].shape) for name, x in result.rates.items()},
        states={
            s: {name: x.reshape(steps, samples, *nodes[name].shape) for name, x in of.items()}
            for s, of in result.states.items()
        },
        counts={name: Counts(*x) for name, x in zip(nodes, result.events.swapaxes(0, 1), strict=True)} if counts else {},
    )
