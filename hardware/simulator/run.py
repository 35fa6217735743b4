"""Running a prepared program: tiles of samples, one after the other or on several threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.hardware.activity import Activity, Counts
from filopodia.hardware.simulator.cut import Layout, cut
from filopodia.hardware.simulator.prepared import Prepared
from filopodia.hardware.simulator.tile import Result, Tile

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
        Tile(prepared, given, result, layout, start, min(start + layout.samples, samples), record, counts).run()
        return start

    if layout.tiles > 1:
        with ThreadPoolExecutor(layout.tiles) as pool:
            _report(pool.map(one, starts), layout, samples, progress)
    else:
        _report(map(one, starts), layout, samples, progress)
    return _activity(prepared, given, result, record, steps, samples, counts)


def _report(done: Iterable[int], layout: Layout, samples: int, progress: Progress | None) -> None:
    for start in done:
        if progress is not None:
            progress("simulate", min(start + layout.samples, samples), samples)


def _allocate(prepared: Prepared, given: dict[str, NDArray[Any]], record: frozenset[str], steps: int, samples: int) -> Result:
    layers = [prepared.nodes[layer.name] for layer in prepared.program.layers]
    counts = np.zeros((3, len(prepared.nodes), steps, samples), np.int64)
    sent, synops, messages = (dict(zip(prepared.nodes, of, strict=True)) for of in counts)
    return Result(
        {x.name: np.empty((steps, samples, x.size), np.bool_) for x in layers} if "spikes" in record else {},
        {s: {x.name: np.empty((steps, samples, x.size), np.int32) for x in layers} for s in ("u", "v") if s in record},
        {name: np.zeros((samples, prepared.nodes[name].size), np.int32) for name in prepared.program.outputs},
        sent,
        synops,
        messages,
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
    shapes = {name: (steps, samples, *node.shape) for name, node in prepared.nodes.items()}
    spikes: dict[str, NDArray[Any]] = {}
    if "spikes" in record:
        spikes = dict(given) | {name: x.reshape(shapes[name]) for name, x in result.spikes.items()}
    events: dict[str, Counts] = {}
    if counts:
        updated = np.empty((len(prepared.nodes), steps, samples), np.int64)
        for x, (name, node) in zip(updated, prepared.nodes.items(), strict=True):
            x[:] = 0 if name in given else node.size
            events[name] = Counts(result.sent[name], result.synops[name], x, result.messages[name])
    return Activity(
        backend="simulator",
        steps=steps,
        samples=samples,
        spikes=spikes,
        rates={name: x.reshape(shapes[name][1:]) for name, x in result.rates.items()},
        states={s: {name: x.reshape(shapes[name]) for name, x in of.items()} for s, of in result.states.items()},
        counts=events,
    )
