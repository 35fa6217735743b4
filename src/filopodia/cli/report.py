"""`filopodia report`: report.json and report.html."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import tyro

from filopodia.cli.closing import closing_table
from filopodia.cli.steps import StepArguments, step
from filopodia.config import ReportConfig
from filopodia.stages.report import REPORT


class Arguments(StepArguments, frozen=True, kw_only=True):
    report: Annotated[ReportConfig, tyro.conf.arg(name="")] = ReportConfig()


def main(words: Sequence[str]) -> None:
    arguments, folder, _ = step("report", Arguments, words, REPORT)
    if arguments.json:
        print((folder / "report.json").read_text(encoding="utf-8"), end="")
        return
    closing_table(folder)
