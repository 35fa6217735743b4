"""Cutting a run into tiles of samples that fit into the memory asked for."""

from __future__ import annotations

from dataclasses import dataclass

from filopodia.errors import InputError
from filopodia.hardware.simulator import lanes
from filopodia.hardware.simulator.adders import WIDE
from filopodia.hardware.simulator.prepared import Prepared
from filopodia.hardware.simulator.workers import processors

LANES_PER_TILE = 2**13  # steps times samples in a tile: enough to make Python's share small, few enough to stay in caches
LANES_FROM = 16  # samples in a tile from which kernel S is considered at all


@dataclass(frozen=True)
class Layout:
    """How a run is cut: samples per tile, tiles at a time, threads within a tile; words of a vector, one after the other.

    A vector holds `span` times eight steps, `width` words each: of few samples, more steps at once.
    """

    samples: int
    tiles: int
    inner: int
    width: int
    span: int

    @property
    def unit(self) -> int:
        """Words per vector."""
        return self.width * self.span

    def vectors(self, steps: int, samples: int) -> tuple[int, int]:
        """Vectors per neuron: over the steps, and over the samples."""
        return -(-steps // (8 * self.span)), -(-samples // (8 * self.width))


def cut(prepared: Prepared, record: frozenset[str], steps: int, samples: int, threads: int | None, memory: int) -> Layout:
    """The widest tiles on the most threads that fit into `memory` bytes, result included.

    Raises InputError, saying how much would do, where not even one sample fits.
    """
    threads = threads or processors()
    key = (record, steps, samples, threads, memory)
    if key not in prepared.layouts:
        prepared.layouts[key] = _cut(prepared, *key)
    layout: Layout = prepared.layouts[key]
    return layout


def _cut(prepared: Prepared, record: frozenset[str], steps: int, samples: int, threads: int, memory: int) -> Layout:
    kept = result_bytes(prepared, record, steps, samples)
    size = min(samples, _whole(-(-samples // threads)), _whole(-(-LANES_PER_TILE // steps)))
    while size >= 1:
        at_once = min(threads, -(-samples // size), (memory - kept) // tile_bytes(prepared, record, steps, size, threads))
        if at_once >= 1:
            return Layout(size, at_once, max(1, threads // at_once), *vector(steps, size))
        size = _whole(size // 2) if size > 8 * WIDE else size // 2
    needed = kept + tile_bytes(prepared, record, steps, 1, threads)
    raise InputError(
        f"memory of {memory} bytes cannot hold the result ({kept} bytes) and one sample",
        where="simulate",
        allowed=f"at least {needed} bytes for {steps} steps of {samples} samples recording {sorted(record) or 'nothing'}",
        fix="record less (record=() keeps rates and counts), give more memory, or fewer samples at a time",
    )


def _whole(samples: int) -> int:
    """Samples rounded up to full vectors."""
    return -(-samples // (8 * WIDE)) * (8 * WIDE)


def vector(steps: int, samples: int) -> tuple[int, int]:
    """Width and span of a vector: wide enough for the samples, and then as many times eight steps as there are and fit."""
    width = next((x for x in lanes.UNITS if samples <= 8 * x), WIDE)
    span = 1
    while span * width < WIDE and 8 * span < steps:
        span *= 2
    return width, span


def tile_bytes(prepared: Prepared, record: frozenset[str], steps: int, samples: int, threads: int) -> int:
    """What a tile of samples takes while it runs."""
    bits = 8 * prepared.words * samples * steps
    values = 4 * prepared.graded_size * samples * steps
    state = 4 * 64 * prepared.words
    recorded = 2 * state * samples * steps * len(record & {"u", "v"})
    layout = Layout(samples, 1, 1, *vector(steps, samples))
    chunks, groups = layout.vectors(steps, samples)
    served = max(node.channels * min(lanes.IN_TURN, node.places) for node in prepared.nodes.values())
    kept = 2 * 4 * 8 * layout.width * served * threads * (chunks > lanes.CHUNKS_IN_TURN)  # u and v from turn to turn
    vectors = kept + 8 * layout.unit * prepared.vectors * chunks * groups + 8 * lanes.SCRATCH * threads
    return bits + 2 * values + 2 * state + recorded + vectors * (samples >= LANES_FROM and not recorded) + 2**16


def result_bytes(prepared: Prepared, record: frozenset[str], steps: int, samples: int) -> int:
    """What an activity takes."""
    layers = [prepared.nodes[layer.name] for layer in prepared.program.layers]
    states = len(record & {"u", "v"})
    per_event = sum(node.size for node in layers) * (("spikes" in record) + 4 * states) + 32 * len(prepared.nodes)
    rates = sum(4 * prepared.nodes[name].size for name in prepared.program.outputs)
    return steps * samples * per_event + samples * rates
