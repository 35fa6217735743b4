"""The one family of errors. A message names what was found, where, what is allowed, and what to do.

This module imports nothing, so that every folder can raise from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class FilopodiaError(Exception):
    """Something the user can put right: their input, their file, or a limit of the chip they chose.

    The command line prints the message alone and leaves with exit code 2.
    """

    def __init__(self, found: str, *, where: str = "", allowed: str = "", fix: str = "") -> None:
        self.found, self.where, self.allowed, self.fix = found, where, allowed, fix
        lines = [f"{where}: {found}" if where else found]
        if allowed:
            lines.append(f"  allowed: {allowed}")
        if fix:
            lines.append(f"  fix: {fix}")
        super().__init__("\n".join(lines))


class InputError(FilopodiaError, ValueError):
    """A value, shape or type that a function cannot take."""


class ConfigError(FilopodiaError):
    """An unknown key, a wrong type or a value out of range in a configuration."""


class FileError(FilopodiaError):
    """A file that is missing, truncated, of another format or of a version this release cannot read."""


class UnsupportedError(FilopodiaError):
    """A layer, node or option that cannot be expressed exactly, refused by name instead of approximated."""


class TrainingError(FilopodiaError):
    """A training run that cannot go on, such as a loss that is not a number."""


class LavaError(FilopodiaError):
    """Lava could not be found, did not start, died or ran past its time limit."""


@dataclass(frozen=True)
class Violation:
    """One broken design rule: `value` of `rule` at `layer` against `limit`, where the limit comes from, and a way out."""

    rule: str
    layer: str
    value: str
    limit: str
    source: str
    fix: str


class ChipLimitError(FilopodiaError):
    """A network that does not fit a chip. `violations` holds every broken rule, not only the first."""

    def __init__(self, program: str, chip: str, violations: Sequence[Violation]) -> None:
        self.violations = tuple(violations)
        count = len(self.violations)
        head = f"{program} does not fit {chip}: {count} rule{'s' if count != 1 else ''} broken"
        body = [f"  {v.rule}  {v.layer}  {v.value} > {v.limit}  [{v.source}]\n      fix: {v.fix}" for v in self.violations]
        super().__init__("\n".join([head, *body]))
