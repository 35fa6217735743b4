"""`filopodia lava`: run the same program on real Lava. Asked for by name, Lava that cannot run is an error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
import tyro

from filopodia.cli.steps import FileArguments, print_json, step
from filopodia.config import Config, LavaConfig
from filopodia.provenance import load_provenance
from filopodia.stages.lava import LAVA


class Arguments(FileArguments, frozen=True, kw_only=True):
    lava: Annotated[LavaConfig, tyro.conf.arg(name="")] = LavaConfig()


def main(words: Sequence[str]) -> None:
    arguments, folder, _ = step("lava", Arguments, words, LAVA, insisting)
    if arguments.json:
        print_json(load_provenance(folder).stages["lava"])


def insisting(config: Config) -> Config:
    """The same settings, with Lava wanted whatever a whole run would do."""
    return msgspec.structs.replace(config, lava=msgspec.structs.replace(config.lava, use="always"))
