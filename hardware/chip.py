"""Chip: the limits and costs of a neuromorphic chip, read from a TOML file in which every number has a source."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import msgspec

from filopodia.errors import FileError


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a resource allows: `value` in `unit`, and where the number stands."""

    value: int
    unit: str
    source: str


class Chip(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A chip file. `limits` are per core unless their name says otherwise."""

    name: str
    title: str
    limits: Mapping[str, Limit]


def load_chip(chip: str | Path) -> Chip:
    """Read a chip that comes with filopodia by its name ("loihi1", "loihi2"), or a chip file of the same schema by its path.

    Raises FileError naming the file, the key and what is allowed.
    """
    packaged = resources.files("filopodia.hardware.chips")
    path = packaged / f"{chip}.toml" if isinstance(chip, str) and not chip.endswith(".toml") else Path(chip)
    if not path.is_file():
        names = sorted(p.name.removesuffix(".toml") for p in packaged.iterdir() if p.name.endswith(".toml"))
        raise FileError(f"no chip named {chip}", allowed=", ".join(names), fix="or give the path of a chip file (.toml)")
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Chip)
    except msgspec.MsgspecError as error:
        raise FileError(str(error), where=str(path)) from None
