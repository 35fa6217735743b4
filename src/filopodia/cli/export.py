"""`filopodia export`: the trained network as NIR and ONNX, with golden spikes to check every later step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import tyro

from filopodia.cli.steps import StepArguments, print_json, step
from filopodia.config import ExportConfig
from filopodia.provenance import load_provenance
from filopodia.stages.export import EXPORT


class Arguments(StepArguments, frozen=True, kw_only=True):
    export: Annotated[ExportConfig, tyro.conf.arg(name="")] = ExportConfig()


def main(words: Sequence[str]) -> None:
    arguments, folder, _ = step("export", Arguments, words, EXPORT)
    if arguments.json:
        print_json(load_provenance(folder).stages["export"])
