"""Traffic: how many messages go between cores, and an order of the cores on the mesh that keeps their ways short.

A message is a spike times a core that it goes to. It travels along x, then along y, one hop per router; a way to another chip
counts as CHIP_HOPS hops.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from filopodia.hardware.compiler.cut import Piece
from filopodia.hardware.compiler.resources import image, reached
from filopodia.hardware.program import Program

CHIP_HOPS = 16
"""Hops that a way to the next chip counts as, so that chips are left seldom."""

ROUNDS = 20


def messages(
    program: Program, groups: Sequence[Sequence[Piece]], rates: Mapping[str, NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Messages per step from core to core, [n, n], for cores holding these pieces; `rates` are spikes per step by layer."""
    core_of = {layer.name: np.zeros(layer.size, np.int64) for layer in program.layers}
    for core, group in enumerate(groups):
        for piece in group:
            core_of[piece.tile.layer][piece.tile.neurons(image(program, piece.tile.layer))] = core
    total = np.zeros((len(groups), len(groups)))
    for core, group in enumerate(groups):
        heard: dict[str, NDArray[np.bool_]] = {}
        for piece in group:
            for connection in program.into(piece.tile.layer):
                if connection.source in core_of:
                    hit = reached(program, connection, piece.tile)
                    heard[connection.source] = hit | heard[connection.source] if connection.source in heard else hit
        for source, hit in heard.items():
            total[:, core] += np.bincount(core_of[source][hit], rates[source][hit], minlength=len(groups))
    return total


def arrange(sent: NDArray[np.float64], distance: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which place each core takes, [n], so that few messages go far: swaps of two cores as long as they help.

    `sent` is [n, n] messages, `distance` [n, n] hops between places. The start is one core after the other.
    """
    both = sent + sent.T
    np.fill_diagonal(both, 0)
    place = np.arange(len(sent))
    for _ in range(ROUNDS):
        improved = False
        for core in np.argsort(-both.sum(axis=1)):
            gains = _gains(core, both, distance, place)
            other = int(np.argmax(gains))
            if gains[other] > 1e-9 * max(1.0, float(both.sum())):
                place[core], place[other] = place[other], place[core]
                improved = True
        if not improved:
            break
    return place


def _gains(core: int, both: NDArray[np.float64], distance: NDArray[np.int64], place: NDArray[np.int64]) -> NDArray[np.float64]:
    """By how many message hops the sum falls when `core` and each other core swap places: [n]."""
    there = distance[place][:, place].astype(np.float64)  # between the cores as they lie
    now = (both * there).sum(axis=1)
    mine = there @ both[core]  # core's ways from every place
    theirs = both @ there[core]  # every core's ways from core's place
    gain = now[core] + now - mine - theirs - 2 * both[core] * there[core]
    gain[core] = 0
    return np.asarray(gain)


def message_hops(sent: NDArray[np.float64], distance: NDArray[np.int64], place: NDArray[np.int64]) -> float:
    """Messages times hops, per step."""
    return float((sent * distance[place][:, place]).sum())


def distances(places: Sequence[tuple[int, tuple[int, int, int]]]) -> NDArray[np.int64]:
    """Hops between places (chip, (x, y, slot)), [n, n]."""
    chip = np.array([p[0] for p in places])
    x, y = (np.array([p[1][axis] for p in places]) for axis in (0, 1))

    def apart(values: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.asarray(np.abs(values[:, None] - values))

    return np.asarray(apart(x) + apart(y) + CHIP_HOPS * apart(chip))
