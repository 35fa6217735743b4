"""`filopodia simulate`: run the program on the bit-exact integer simulator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import tyro

from filopodia.cli.steps import FileArguments, print_json, step
from filopodia.config import SimulateConfig
from filopodia.provenance import load_provenance
from filopodia.stages.simulate import SIMULATE


class Arguments(FileArguments, frozen=True, kw_only=True):
    simulate: Annotated[SimulateConfig, tyro.conf.arg(name="")] = SimulateConfig()


def main(words: Sequence[str]) -> None:
    arguments, folder, _ = step("simulate", Arguments, words, SIMULATE)
    if arguments.json:
        print_json(load_provenance(folder).stages["simulate"])
