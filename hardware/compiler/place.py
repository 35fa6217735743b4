"""Placement: layers cut into tiles that fit cores, tiles packed together, cores set on the mesh of one or more chips.

Before: a program without cores. After: every neuron on exactly one core, no core over a limit, no two cores in one place; or
the rules that kept a layer from it. What the program computes does not change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from filopodia.errors import InputError, Violation
from filopodia.hardware.chip import MESH, Chip
from filopodia.hardware.compiler.cut import PER_CORE, Piece, Room, cut, room
from filopodia.hardware.compiler.resources import image
from filopodia.hardware.compiler.traffic import arrange, distances, message_hops, messages
from filopodia.hardware.program import Core, Program

Objective = Literal["cores", "traffic"]
Place = tuple[int, tuple[int, int, int]]


@dataclass(frozen=True, eq=False)
class Placed:
    """Cores in order of index, the rules that kept a layer off them, and messages and their hops per step (with rates)."""

    cores: tuple[Core, ...]
    violations: tuple[Violation, ...]
    traffic: Mapping[str, float]


def place(
    program: Program, chip: Chip, objective: Objective = "cores", rates: Mapping[str, NDArray[np.float64]] | None = None
) -> Placed:
    """Cores for every layer of a program; layers that fit no core are left out and reported as violations.

    `objective="cores"` fills cores with tiles of several layers, so that the fewest are used, one after the other along the
    mesh. `"traffic"` keeps layers apart and swaps cores on the mesh until messages travel few hops; `rates` are spikes per step
    of each layer's neurons, [n] by name (1 everywhere when left out). Messages and hops are counted where rates are given or
    traffic is the objective.
    """
    if objective not in ("cores", "traffic"):
        raise InputError(f"objective {objective!r}", allowed='"cores", "traffic"')
    pieces, violations = cut(program, chip)
    has = room(chip)
    groups = pack(pieces, has) if objective == "cores" else [[piece] for piece in pieces]
    places = [position(chip, index) for index in range(len(groups))]
    traffic: dict[str, float] = {}
    if groups and (objective == "traffic" or rates is not None):
        known = rates or {layer.name: np.ones(layer.size) for layer in program.layers}
        sent, distance = messages(program, groups, known), distances(places)
        in_order = np.arange(len(groups))
        order = arrange(sent, distance) if objective == "traffic" else in_order
        before = message_hops(sent, distance, in_order)
        traffic = {
            "messages_per_step": float(sent.sum()),
            "hops_per_step": message_hops(sent, distance, order),
            "hops_per_step_in_order": before,
        }
        places = [places[i] for i in order]
    cores = tuple(_core(program, index, at, group) for index, (at, group) in enumerate(zip(places, groups, strict=True)))
    return Placed(cores, tuple(violations), traffic)


def pack(pieces: Sequence[Piece], has: Room) -> list[list[Piece]]:
    """Pieces put together on as few cores as first fit finds, in the order of the layers; what they use adds up."""
    groups: list[list[Piece]] = []
    used: list[dict[str, int]] = []
    open_from = 0
    for piece in pieces:
        for group in range(open_from, len(groups)):
            together = _together(used[group], piece.used)
            if has.fits(together):
                groups[group].append(piece)
                used[group] = together
                break
        else:
            groups.append([piece])
            used.append(dict(piece.used))
        while open_from < len(groups) and _full(used[open_from], has):
            open_from += 1
    return groups


def _full(used: Mapping[str, int], has: Room) -> bool:
    """Whether a core has no room worth looking at."""
    return any(used[name] > 0.98 * limit for name, limit in has.limits.items() if name in used)


def _together(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in (*one, *(n for n in other if n not in one))}


def _core(program: Program, index: int, at: Place, group: Sequence[Piece]) -> Core:
    """A core that holds these pieces."""
    neurons: dict[str, NDArray[np.int32]] = {}
    used: dict[str, int] = {}
    for piece in group:
        name = piece.tile.layer
        held = piece.tile.neurons(image(program, name))
        neurons[name] = np.sort(np.concatenate([neurons[name], held])) if name in neurons else held
        used = _together(used, piece.used)
    return Core(index, at[0], at[1], neurons, used)


def position(chip: Chip, index: int) -> Place:
    """Chip and mesh place (x, y, slot) of the index-th core: along the rows, turning at each end, slots of a router first."""
    width, height, slots = (_limit(chip, name, default) for name, default in MESH.items())
    on_chip, within = divmod(index, _limit(chip, "cores_per_chip", width * height * slots))
    router, slot = divmod(within, slots)
    y, x = divmod(router, width)
    return on_chip, (x if y % 2 == 0 else width - 1 - x, y, slot)


def _limit(chip: Chip, name: str, default: int) -> int:
    return chip.limits[name].value if name in chip.limits else default


def utilization(cores: tuple[Core, ...], chip: Chip) -> dict[str, tuple[int, int]]:
    """Per limited resource: the most that any core uses, and the limit."""
    return {
        name: (max((core.used.get(name, 0) for core in cores), default=0), chip.limits[name].value)
        for name in PER_CORE
        if name in chip.limits
    }


def chips_used(cores: tuple[Core, ...]) -> int:
    """Chips that the cores sit on."""
    return len({core.chip for core in cores})
