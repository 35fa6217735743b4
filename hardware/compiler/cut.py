"""Cutting: every layer into tiles that each fit a core.

A layer is cut into channel groups and, within a group, into blocks of rows and columns; of all cuts that fit, the one with the
fewest tiles is taken, then the one that the fewest axons lead into.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from filopodia.errors import Violation
from filopodia.hardware.chip import Chip
from filopodia.hardware.compiler.resources import Image, Tile, image, reached, usage
from filopodia.hardware.program import Program

PER_CORE = ("neurons", "synapse_bits", "in_axons", "out_axons")


@dataclass(frozen=True)
class Piece:
    """A tile and what it uses of a core."""

    tile: Tile
    used: Mapping[str, int]


@dataclass(frozen=True)
class Room:
    """What a core has room for: limits by name, whether it keeps a convolution's weights once, and where that stands."""

    limits: Mapping[str, int]
    shared_conv: bool
    chip: Chip

    def fits(self, used: Mapping[str, int]) -> bool:
        return all(used[name] <= limit for name, limit in self.limits.items() if name in used)


def room(chip: Chip) -> Room:
    """The room on a core of a chip."""
    limits = {name: chip.limits[name].value for name in PER_CORE if name in chip.limits}
    return Room(limits, "shared_conv" in chip.limits and chip.limits["shared_conv"].value > 0, chip)


def cut(program: Program, chip: Chip) -> tuple[list[Piece], list[Violation]]:
    """Pieces of all layers, layer by layer, and the rules that keep a layer from being cut small enough."""
    has = room(chip)
    pieces: list[Piece] = []
    violations: list[Violation] = []
    for layer in program.layers:
        found = _cut_layer(program, layer.name, has)
        if found is None:
            violations += _why_not(program, layer.name, has)
        else:
            pieces += found
    if "out_axons" in has.limits and not violations:
        pieces, broken = _within_out_axons(program, pieces, has)
        violations += broken
    return pieces, violations


def parts(size: int, count: int) -> list[tuple[int, int]]:
    """`count` half-open ranges that cover 0..size, their lengths differing by one at most."""
    edges = [size * i // count for i in range(count + 1)]
    return list(pairwise(edges))


def _cut_layer(program: Program, layer: str, has: Room) -> list[Piece] | None:
    """The pieces of a layer, or None when even single neurons do not fit."""
    best: list[Piece] | None = None
    shape = image(program, layer)
    for groups in _counts(shape[0]):
        if best is not None and groups > len(best):
            break
        found = _blocks(program, layer, shape, groups, has, None if best is None else len(best))
        if found is not None and (best is None or _cost(found) < _cost(best)):
            best = found
    return best


def _cost(pieces: Sequence[Piece]) -> tuple[int, int]:
    return len(pieces), sum(piece.used["in_axons"] for piece in pieces)


def _counts(size: int) -> Iterator[int]:
    """Numbers of parts worth trying: those that make the largest part smaller."""
    count = 1
    while True:
        yield count
        part = -(-size // count)
        if part == 1:
            return
        count = -(-size // (part - 1))


def _blocks(program: Program, layer: str, shape: Image, groups: int, has: Room, most: int | None) -> list[Piece] | None:
    """The fewest blocks of pixels per channel group that fit, or None; never more pieces than `most`."""
    channels = -(-shape[0] // groups)
    pixels = shape[1] * shape[2]
    blocks = max(1, -(-channels * pixels // has.limits.get("neurons", channels * pixels)))
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
        inner = usage(program, tiles[len(tiles) // 2], has.shared_conv)
        if has.fits(inner):
            pieces = _all_fit(program, tiles, has)
            if pieces is not None:
                return pieces
        elif has.shared_conv and inner["synapse_bits"] > has.limits.get("synapse_bits", inner["synapse_bits"]) and blocks > 1:
            single = Tile(layer, tiles[0].channels, (0, 1), (0, 1))
            if not has.fits({"synapse_bits": usage(program, single, True)["synapse_bits"]}):
                return None  # the kernel alone is too large, however few pixels it serves
        excess = inner["synapse_bits"] / has.limits.get("synapse_bits", inner["synapse_bits"] or 1)
        blocks = max(rows * columns + 1, int(blocks * excess * 0.8))  # memory shrinks with the block, a little slower
    return None


def _all_fit(program: Program, tiles: Sequence[Tile], has: Room) -> list[Piece] | None:
    pieces = []
    for tile in tiles:
        pieces.append(Piece(tile, usage(program, tile, has.shared_conv)))
        if not has.fits(pieces[-1].used):
            return None
    return pieces


def _why_not(program: Program, layer: str, has: Room) -> list[Violation]:
    """The rules that a single neuron of the layer breaks, at the neuron that breaks them most."""
    shape = image(program, layer)
    worst: dict[str, int] = {}
    for channel in range(0, shape[0], max(1, shape[0] // 64)):
        y, x = shape[1] // 2, shape[2] // 2
        used = usage(program, Tile(layer, (channel, channel + 1), (y, y + 1), (x, x + 1)), has.shared_conv)
        worst = {name: max(value, worst.get(name, 0)) for name, value in used.items()}
    over = {name: value for name, value in worst.items() if value > has.limits.get(name, value)}
    return [
        Violation(
            rule=f"{name} of one neuron",
            layer=layer,
            value=str(value),
            limit=f"{has.limits[name]} per core",
            source=has.chip.limits[name].source,
            fix=_ways_out(program, layer, name, value / has.limits[name]),
        )
        for name, value in over.items()
    ]


def _ways_out(program: Program, layer: str, name: str, excess: float) -> str:
    """What would make a neuron fit that needs `excess` times what a core has."""
    fan_in = sum(program.nodes[c.source].size for c in program.into(layer))
    pruned = f"prune the layer until a neuron hears from at most 1/{excess:.2g} of its {fan_in} sources"
    if name == "in_axons":
        return f"{pruned}, pool or stride before it so that it has fewer sources, or choose a chip without this limit"
    return f"{pruned}, or choose a chip with more synaptic memory per core"


def _within_out_axons(program: Program, pieces: list[Piece], has: Room) -> tuple[list[Piece], list[Violation]]:
    """Count each piece's axons to other pieces, and halve those that have too many until they fit."""
    limit = has.limits["out_axons"]
    while True:
        fans = destinations(program, pieces)
        counted = []
        for piece in pieces:
            axons = int(fans[piece.tile.layer][piece.tile.neurons(image(program, piece.tile.layer))].sum())
            counted.append(Piece(piece.tile, {**piece.used, "out_axons": axons}))
        full = [piece for piece in counted if piece.used["out_axons"] > limit]
        stuck = [piece for piece in full if piece.tile.size == 1]
        if stuck or not full:
            return counted, [_too_many_targets(piece, has) for piece in stuck]
        pieces = []
        for piece in counted:
            if piece.used["out_axons"] <= limit:
                pieces.append(piece)
            else:
                pieces += [Piece(half, usage(program, half, has.shared_conv)) for half in _halves(piece.tile)]


def destinations(program: Program, pieces: Sequence[Piece]) -> dict[str, NDArray[np.int64]]:
    """To how many pieces each neuron of every input and layer sends its spikes: int64 [n] by name."""
    fans = {name: np.zeros(node.size, np.int64) for name, node in program.nodes.items()}
    for piece in pieces:
        by_source: dict[str, NDArray[np.bool_]] = {}
        for connection in program.into(piece.tile.layer):
            hit = reached(program, connection, piece.tile)
            by_source[connection.source] = hit | by_source[connection.source] if connection.source in by_source else hit
        for source, hit in by_source.items():
            fans[source] += hit
    return fans


def _halves(tile: Tile) -> tuple[Tile, Tile]:
    """A tile cut in two along its longest side."""
    sides = {"channels": tile.channels, "rows": tile.rows, "columns": tile.columns}
    longest = max(sides, key=lambda side: sides[side][1] - sides[side][0])
    first, last = sides[longest]
    middle = (first + last) // 2
    one, other = (first, middle), (middle, last)
    if longest == "channels":
        return replace(tile, channels=one), replace(tile, channels=other)
    if longest == "rows":
        return replace(tile, rows=one), replace(tile, rows=other)
    return replace(tile, columns=one), replace(tile, columns=other)


def _too_many_targets(piece: Piece, has: Room) -> Violation:
    return Violation(
        rule="out_axons of one neuron",
        layer=piece.tile.layer,
        value=str(piece.used["out_axons"]),
        limit=f"{has.limits['out_axons']} per core",
        source=has.chip.limits["out_axons"].source,
        fix="prune the layers it feeds, so that fewer cores hold them",
    )
