"""From words to a verb's typed arguments: tyro reads flags over defaults that come from the configuration file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec
import tyro

from filopodia.cli import VERBS
from filopodia.config import Config, checked, folder_config
from filopodia.run import RunFolder

A = TypeVar("A", bound=msgspec.Struct)


def parse(verb: str, kind: type[A], words: Sequence[str], default: A | None = None) -> A:
    """Read flags over `default`. Leaves with exit code 0 for --help and 2 for words it cannot read, both told by tyro.

    Raises ConfigError for a flag whose value is out of bounds.
    """
    text = VERBS[verb]
    read = tyro.cli(
        kind,
        args=list(words),
        default=kind() if default is None else default,
        prog=f"filopodia {verb}",
        description=f"{text[0].upper()}{text[1:]}.",
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    sections = {name: getattr(read, name) for name in read.__struct_fields__}
    return msgspec.structs.replace(read, **{k: checked(v) for k, v in sections.items() if isinstance(v, msgspec.Struct)})


def parse_in_folder(
    verb: str, kind: type[A], words: Sequence[str], place: Callable[[A], RunFolder]
) -> tuple[A, RunFolder, Config]:
    """Read flags over the run folder's own configuration: once to learn which folder it is, and again over what it says.

    Fields of `kind` that are named like a section of the configuration are that section. The configuration that comes
    back has the flags in it.
    """
    first = parse(verb, kind, words)
    folder = place(first)
    saved = folder_config(folder)
    sections = {name for name in kind.__struct_fields__ if name in Config.__struct_fields__}
    arguments = parse(verb, kind, words, kind(**{name: getattr(saved, name) for name in sections}))
    config = msgspec.structs.replace(saved, **{name: getattr(arguments, name) for name in sections})
    return arguments, folder, config
