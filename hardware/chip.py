"""Chip: the limits and costs of a neuromorphic chip, read from a TOML file in which every number has a source.

A chip file holds `limits` (what the compiler places by), `formats` (how the chip treats stored zeros) and `costs`: one or
more cost tables, each a set of prices that belong together. The schema is strict: a missing unit, source or evidence grade, a
negative number, low > high or an unknown key is an error that names the file, the key and the value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from filopodia.errors import FileError
from filopodia.hardware.energy.prices import FORMATS, TERMS, Barrier, Costs, Format, Price, WeightFormat

Item = TypeVar("Item")


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a resource allows: `value` in `unit`, and where the number stands."""

    value: int
    unit: str
    source: str


LIMITS: Mapping[str, tuple[int, int | None]] = {
    "cores_per_chip": (1, None),
    "neurons": (1, None),
    "synapse_bits": (1, None),
    "in_axons": (1, None),
    "out_axons": (1, None),
    "delay": (0, None),
    "message_bits": (0, 32),
    "soft_reset": (0, 1),
    "shared_conv": (0, 1),
    "mesh_width": (1, None),
    "mesh_height": (1, None),
    "mesh_slots": (1, None),
}
"""The limits that the compiler reads, and the values each may have; a chip file may leave any out."""

MESH = {"mesh_width": 8, "mesh_height": 4, "mesh_slots": 4}
"""What a chip file without a mesh is taken to have: Loihi's."""


class Chip(msgspec.Struct, frozen=True):
    """A chip file. `limits` are per core unless their name says otherwise; a chip known only by its costs has none.

    `costs` holds the cost tables by their short name, the default one first.
    """

    name: str
    title: str
    limits: Mapping[str, Limit] = msgspec.field(default_factory=dict)
    formats: Mapping[Format, WeightFormat] = msgspec.field(default_factory=dict)
    costs: Mapping[str, Costs] = msgspec.field(default_factory=dict)


class _ChipFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    title: str
    limits: dict[str, Any] = {}
    formats: dict[str, Any] = {}
    costs: dict[str, Any] = {}
    default_costs: str = ""


class _CostTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    title: str
    conditions: str = ""
    cores_per_tile: int = 4
    weight_bytes: int = 0
    state_bytes: int = 0
    energy: dict[str, Any] = {}
    power: dict[str, Any] = {}
    time: dict[str, Any] = {}
    barrier: list[Any] = []


def chip_names() -> tuple[str, ...]:
    """The chips that come with filopodia."""
    packaged = resources.files("filopodia.hardware.chips")
    return tuple(sorted(p.name.removesuffix(".toml") for p in packaged.iterdir() if p.name.endswith(".toml")))


def load_chip(chip: str | Path) -> Chip:
    """Read a chip that comes with filopodia by its name ("loihi1", "loihi2"), or a chip file of the same schema by its path.

    Raises FileError naming the file, the key, the value and what is allowed.
    """
    path: Traversable
    if isinstance(chip, str) and not chip.endswith(".toml"):
        path = resources.files("filopodia.hardware.chips") / f"{chip}.toml"
    else:
        path = Path(chip)
    if not path.is_file():
        raise FileError(f"no chip named {chip}", allowed=", ".join(chip_names()), fix="or give the path of a chip file (.toml)")
    where = str(path)
    try:
        raw = msgspec.toml.decode(path.read_bytes())
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise FileError(f"not a TOML file: {error}", where=where) from None
    file = _read(raw, _ChipFile, where, "")
    formats = {
        _one_of(name, FORMATS, where, f"formats.{name}"): _sourced(item, WeightFormat, where, f"formats.{name}")
        for name, item in file.formats.items()
    }
    tables = {name: _read_costs(name, item, file.name, formats, where) for name, item in file.costs.items()}
    if file.default_costs or tables:
        default = _one_of(file.default_costs or next(iter(tables)), tuple(tables), where, "default_costs")
        tables = {default: tables[default], **tables}
    limits = {
        _one_of(name, tuple(LIMITS), where, f"limits.{name}"): _sourced(item, Limit, where, f"limits.{name}")
        for name, item in file.limits.items()
    }
    _check_limits(limits, where)
    return Chip(name=file.name, title=file.title, limits=limits, formats=formats, costs=tables)


def _check_limits(limits: Mapping[str, Limit], where: str) -> None:
    """Raise FileError for a value that a limit cannot have, and for more cores than the mesh has places."""
    for name, limit in limits.items():
        low, high = LIMITS[name]
        if limit.value < low or (high is not None and limit.value > high):
            allowed = f"{low} or more" if high is None else f"{low} to {high}"
            raise FileError(f"found {limit.value}", where=f"{where}: limits.{name}.value", allowed=allowed)
    sides = [limits[name].value if name in limits else default for name, default in MESH.items()]
    if "cores_per_chip" in limits and limits["cores_per_chip"].value > math.prod(sides):
        raise FileError(
            f"{limits['cores_per_chip'].value} cores on a mesh with {' x '.join(map(str, sides))} places",
            where=f"{where}: limits.cores_per_chip.value",
            allowed=f"up to {math.prod(sides)}",
            fix=f"state {', '.join(MESH)}",
        )


def load_costs(costs: str | Path | Costs) -> Costs:
    """A cost table: "loihi1/davies2018", the default table of a chip ("loihi2"), or the same of a chip file ("my.toml/table").

    Raises FileError naming the tables there are.
    """
    if isinstance(costs, Costs):
        return costs
    chip_part, table = str(costs), ""
    if "/" in chip_part and not chip_part.endswith(".toml"):
        chip_part, table = chip_part.rsplit("/", 1)
    chip = load_chip(chip_part)
    if not chip.costs:
        priced = [name for name in chip_names() if load_chip(name).costs]
        raise FileError(
            "a chip without costs", where=chip_part, allowed=", ".join(priced), fix="price with another chip's table"
        )
    name = table or next(iter(chip.costs))
    if name not in chip.costs:
        allowed = ", ".join(f"{chip_part}/{known}" for known in chip.costs)
        raise FileError(f"no cost table {name!r}", where=chip_part, allowed=allowed)
    return chip.costs[name]


def _read_costs(name: str, raw: Any, chip: str, formats: Mapping[Format, WeightFormat], where: str) -> Costs:
    key = f"costs.{name}"
    table = _read(raw, _CostTable, where, key)
    sections: dict[str, dict[str, Price]] = {}
    for section, items in (("energy", table.energy), ("power", table.power), ("time", table.time)):
        sections[section] = {}
        for term, item in items.items():
            at = f"{key}.{section}.{term}"
            sections[section][_one_of(term, tuple(TERMS[section]), where, at)] = _checked(
                _read(item, Price, where, at), section, where, at
            )
    barrier = [
        _checked(_read(item, Barrier, where, f"{key}.barrier[{i}]"), "time", where, f"{key}.barrier[{i}]")
        for i, item in enumerate(table.barrier)
    ]
    if [b.tiles for b in barrier] != sorted({b.tiles for b in barrier}):
        raise FileError("tiles out of order", where=f"{where}: {key}.barrier", allowed="each larger than the one before")
    costs = Costs(
        name=f"{chip}/{name}",
        title=table.title,
        conditions=table.conditions,
        barrier=tuple(barrier),
        formats=formats,
        cores_per_tile=table.cores_per_tile,
        weight_bytes=table.weight_bytes,
        state_bytes=table.state_bytes,
        energy=sections["energy"],
        power=sections["power"],
        time=sections["time"],
    )
    if costs.all_in:
        others = sorted([*(set(costs.energy) - {costs.all_in}), *(set(costs.power) - {"host"})])
        if others:
            raise FileError(
                f"scope all_in beside {', '.join(others)}",
                where=f"{where}: {key}.energy.{costs.all_in}",
                allowed="one all_in price alone (and power.host): it already holds what the others would add again",
                fix="use scope per_op, or move the other prices to a table of their own",
            )
    return costs


CheckedPrice = TypeVar("CheckedPrice", bound=Price)


def _checked(price: CheckedPrice, section: str, where: str, key: str) -> CheckedPrice:
    problem = price.problem(section)
    if problem:
        item, found, allowed = problem
        raise FileError(f"found {found}", where=f"{where}: {key}.{item}", allowed=allowed)
    return price


Sourced = TypeVar("Sourced", Limit, WeightFormat)


def _sourced(raw: Any, kind: type[Sourced], where: str, key: str) -> Sourced:
    item = _read(raw, kind, where, key)
    if not item.source.strip():
        raise FileError(f"found {item.source!r}", where=f"{where}: {key}.source", allowed="where the number was published")
    return item


def _one_of(name: str, allowed: tuple[Any, ...], where: str, key: str) -> Any:
    if name not in allowed:
        raise FileError(f"unknown name {name!r}", where=f"{where}: {key}", allowed=", ".join(allowed))
    return name


def _read(raw: Any, kind: type[Item], where: str, key: str) -> Item:
    """One piece of the file as a struct; errors carry the file, the dotted key and the value."""
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at ")
        dotted = ".".join(part for part in (key, path.strip("`").removeprefix("$").strip(".")) if part)
        value: Any = raw
        for part in path.strip("`").removeprefix("$").strip(".").split("."):
            value = value.get(part, raw) if isinstance(value, dict) and part else value
        found = "" if isinstance(value, dict | list) else f", found {value!r}"
        raise FileError(message.replace("`", "") + found, where=f"{where}: {dotted}" if dotted else where) from None
