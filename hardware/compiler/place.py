"""Placement: layers cut into tiles that each fit a core, cores set on the mesh of one or more chips.

A layer is cut into channel groups and, within a group, into blocks of rows and columns; of all cuts that fit, the one with the
fewest cores is taken, then the one with the fewest axons.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from filopodia.errors import Violation
from filopodia.hardware.chip import Chip
from filopodia.hardware.compiler.resources import Image, Tile, image, reached, usage
from filopodia.hardware.program import Core, Program

PER_CORE = ("neurons", "synapse_bits", "in_axons", "out_axons")


@dataclass(frozen=True, eq=False)
class Placed:
    """Cores in order of index, and the rules that kept a layer off them."""

    cores: tuple[Core, ...]
    violations: tuple[Violation, ...]


def place(program: Program, chip: Chip) -> Placed:
    """Cores for every layer of a program; layers that fit no core are left out and reported as violations."""
    limits = {name: chip.limits[name].value for name in PER_CORE if name in chip.limits}
    shared = shares_conv(chip)
    cuts: dict[str, list[tuple[Tile, dict[str, int]]]] = {}
    violations: list[Violation] = []
    for layer in program.layers:
        found = _cut(program, layer.name, limits, shared)
        if found is None:
            violations += _why_not(program, layer.name, chip, limits, shared)
        else:
            cuts[layer.name] = found
    cuts, broken = _within_out_axons(program, cuts, chip, limits)
    violations += broken
    cores: list[Core] = []
    for name, tiles in cuts.items():
        for tile, used in tiles:
            index = len(cores)
            neurons = tile.neurons(image(program, name))
            cores.append(Core(index, *position(chip, index), neurons={name: neurons}, used=used))
    return Placed(tuple(cores), tuple(violations))


def shares_conv(chip: Chip) -> bool:
    """Whether a core keeps a convolution's weights once for all pixels."""
    return "shared_conv" in chip.limits and chip.limits["shared_conv"].value > 0


def position(chip: Chip, index: int) -> tuple[int, tuple[int, int, int]]:
    """Chip and mesh place (x, y, slot) of the index-th core: along the rows, turning at each end, slots of a router first."""
    width, height, slots = (
        _limit(chip, name, default) for name, default in (("mesh_width", 8), ("mesh_height", 4), ("mesh_slots", 4))
    )
    per_chip = _limit(chip, "cores_per_chip", width * height * slots)
    on_chip, within = divmod(index, per_chip)
    router, slot = divmod(within, slots)
    y, x = divmod(router, width)
    return on_chip, (x if y % 2 == 0 else width - 1 - x, y, slot)


def _limit(chip: Chip, name: str, default: int) -> int:
    return chip.limits[name].value if name in chip.limits else default


def _cut(program: Program, layer: str, limits: Mapping[str, int], shared: bool) -> list[tuple[Tile, dict[str, int]]] | None:
    """The tiles of a layer with what they use, or None when even single neurons do not fit."""
    best: list[tuple[Tile, dict[str, int]]] | None = None
    shape = image(program, layer)
    for groups in _counts(shape[0]):
        found = _blocks(program, layer, shape, groups, limits, shared, None if best is None else len(best))
        if found is not None and (best is None or _cost(found) < _cost(best)):
            best = found
    return best


def _cost(tiles: list[tuple[Tile, dict[str, int]]]) -> tuple[int, int]:
    return len(tiles), sum(used["in_axons"] for _, used in tiles)


def _counts(size: int) -> Iterator[int]:
    """Numbers of parts worth trying: those that make the largest part smaller."""
    part = size
    while part >= 1:
        count = -(-size // part)
        yield count
        if part == 1:
            return
        part = -(-size // (count + 1)) if -(-size // (count + 1)) < part else part - 1


def _blocks(
    program: Program, layer: str, shape: Image, groups: int, limits: Mapping[str, int], shared: bool, most: int | None
) -> list[tuple[Tile, dict[str, int]]] | None:
    """The fewest blocks of pixels per channel group that fit, or None; never more tiles than `most`.

    Memory of shared weights does not shrink with the block: then more blocks help nothing, and the search ends.
    """
    channels = -(-shape[0] // groups)
    pixels = shape[1] * shape[2]
    needed = -(-channels * pixels // limits.get("neurons", channels * pixels))
    blocks = max(1, needed)
    while blocks <= pixels:
        rows = min(blocks, shape[1])
        columns = -(-blocks // rows)
        if columns > shape[2] or (most is not None and groups * rows * columns > most):
            return None
        tiles = [
            Tile(layer, c, y, x)
            for c in parts(shape[0], groups)
            for y in parts(shape[1], rows)
            for x in parts(shape[2], columns)
        ]
        inner = usage(program, tiles[len(tiles) // 2], shared)
        if _fits(inner, limits):
            used = []
            for tile in tiles:
                used.append((tile, usage(program, tile, shared)))
                if not _fits(used[-1][1], limits):
                    break
            else:
                return used
        excess = inner["synapse_bits"] / limits.get("synapse_bits", inner["synapse_bits"] or 1)
        blocks = max(rows * columns + 1, int(blocks * excess * 0.8))  # memory shrinks with the block, a little slower
    return None


def parts(size: int, count: int) -> list[tuple[int, int]]:
    """`count` half-open ranges that cover 0..size, their lengths differing by one at most."""
    edges = [size * i // count for i in range(count + 1)]
    return list(pairwise(edges))


def _fits(used: Mapping[str, int], limits: Mapping[str, int]) -> bool:
    return all(used[name] <= limits[name] for name in used if name in limits)


def _why_not(program: Program, layer: str, chip: Chip, limits: Mapping[str, int], shared: bool) -> list[Violation]:
    """The rules that a single neuron of the layer breaks, at the neuron that breaks them most."""
    shape = image(program, layer)
    worst: dict[str, int] = {}
    for channel in range(0, shape[0], max(1, shape[0] // 64)):
        y, x = shape[1] // 2, shape[2] // 2
        used = usage(program, Tile(layer, (channel, channel + 1), (y, y + 1), (x, x + 1)), shared)
        worst = {name: max(value, worst.get(name, 0)) for name, value in used.items()}
    return [
        Violation(
            rule=f"{name} of one neuron",
            layer=layer,
            value=str(worst[name]),
            limit=f"{limits[name]} per core",
            source=chip.limits[name].source,
            fix=f"prune the layer until no neuron needs more than {limits[name]}, or make its kernel or input smaller",
        )
        for name in worst
        if name in limits and worst[name] > limits[name]
    ]


def _within_out_axons(
    program: Program, cuts: dict[str, list[tuple[Tile, dict[str, int]]]], chip: Chip, limits: Mapping[str, int]
) -> tuple[dict[str, list[tuple[Tile, dict[str, int]]]], list[Violation]]:
    """Count each tile's axons to other cores; where a chip limits them, cut the layer further until they fit."""
    limit = limits.get("out_axons")
    violations: list[Violation] = []
    while True:
        counted = {name: [(tile, used | {"out_axons": 0}) for tile, used in tiles] for name, tiles in cuts.items()}
        fans = {name: destinations(program, name, cuts) for name in cuts}
        again = False
        for name, tiles in counted.items():
            shape = image(program, name)
            for position_, (tile, used) in enumerate(tiles):
                axons = fans[name][tile.neurons(shape)]
                tiles[position_] = (tile, used | {"out_axons": int(axons.sum())})
                if limit is None or axons.sum() <= limit:
                    continue
                if tile.size == 1:
                    violations.append(_too_many_targets(name, int(axons.sum()), limit, chip))
                    continue
                again = True
        if not again or violations:
            return counted, violations
        shared = shares_conv(chip)
        cuts = {
            name: [
                (piece, usage(program, piece, shared))
                if piece is not tile
                else (tile, {k: used[k] for k in used if k != "out_axons"})
                for tile, used in tiles
                for piece in (_halves(tile) if limit is not None and used["out_axons"] > limit and tile.size > 1 else (tile,))
            ]
            for name, tiles in counted.items()
        }


def _halves(tile: Tile) -> tuple[Tile, Tile]:
    """A tile cut in two along its longest side."""
    sides = {"channels": tile.channels, "rows": tile.rows, "columns": tile.columns}
    longest = max(sides, key=lambda side: sides[side][1] - sides[side][0])
    first, last = sides[longest]
    middle = (first + last) // 2
    if longest == "channels":
        return replace(tile, channels=(first, middle)), replace(tile, channels=(middle, last))
    if longest == "rows":
        return replace(tile, rows=(first, middle)), replace(tile, rows=(middle, last))
    return replace(tile, columns=(first, middle)), replace(tile, columns=(middle, last))


def destinations(program: Program, source: str, cuts: Mapping[str, list[tuple[Tile, dict[str, int]]]]) -> NDArray[np.int64]:
    """To how many cores each neuron of `source` sends its spikes: int64 [n_source]."""
    total = np.zeros(program.nodes[source].size, np.int64)
    for connection in program.connections:
        if connection.source == source:
            for tile, _ in cuts.get(connection.target, ()):
                total += reached(program, connection, tile)
    return total


def _too_many_targets(layer: str, axons: int, limit: int, chip: Chip) -> Violation:
    return Violation(
        rule="out_axons of one neuron",
        layer=layer,
        value=str(axons),
        limit=f"{limit} per core",
        source=chip.limits["out_axons"].source,
        fix="prune the layers it feeds, so that fewer cores hold them",
    )


def utilization(cores: tuple[Core, ...], chip: Chip) -> dict[str, tuple[int, int]]:
    """Per limited resource: the most that any core uses, and the limit."""
    return {
        name: (max((core.used.get(name, 0) for core in cores), default=0), chip.limits[name].value)
        for name in PER_CORE
        if name in chip.limits
    }


def chips_used(cores: tuple[Core, ...], chip: Chip) -> int:
    """Chips that so many cores need."""
    return math.ceil(len(cores) / _limit(chip, "cores_per_chip", max(1, len(cores))))
