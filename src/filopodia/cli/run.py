"""`filopodia run`: the whole chain. Steps whose inputs and settings have not changed are kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import tyro

from filopodia.cli import screen
from filopodia.cli.arguments import parse
from filopodia.cli.closing import closing_table
from filopodia.cli.steps import watched
from filopodia.config import Config, folder_config, load_config, save_config
from filopodia.errors import ChipLimitError
from filopodia.run import RunFolder, open_run
from filopodia.stage import Outcome
from filopodia.stages.chain import TO_ACTIVITY, TO_REPORT
from filopodia.stages.train import TRAIN
from filopodia.stages.twin import TwinTraining


class Arguments(msgspec.Struct, frozen=True, kw_only=True):
    path: tyro.conf.Positional[Annotated[Path | None, tyro.conf.arg(metavar="PATH")]] = None
    """A configuration (.toml) to start from, or the run folder to go on with. Without one: the digits, with the defaults."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    """The run folder (runs/NAME)."""
    force: bool = False
    """Do every step anew."""
    config: Annotated[Config, tyro.conf.arg(name="")] = Config()


def main(words: Sequence[str]) -> None:
    first = parse("run", Arguments, words)
    base, _ = settings_and_folder(first.path, first.out)
    arguments = parse("run", Arguments, words, Arguments(config=base))
    config = arguments.config
    _, where = settings_and_folder(arguments.path, arguments.out, config.name)
    folder = open_run(where, create=True)
    save_config(folder, config)
    screen.say(f"filopodia run: {config.name} in {folder.path}")
    with TwinTraining(folder, config, force=arguments.force) as twin:
        for stage in TO_ACTIVITY:
            screen.say_outcome(watched(stage, folder, config, force=arguments.force))
        if twin.wanted:
            screen.say_outcome(finish_twin(twin, force=arguments.force))
    for stage in TO_REPORT:
        screen.say_outcome(watched(stage, folder, config, force=arguments.force))
    closing_table(folder)


def finish_twin(twin: TwinTraining, *, force: bool) -> Outcome:
    """The dense twin up to its activity, told as one step. One that does not fit the chip is left out, with the reason."""
    with screen.progress("twin") as progress:
        trained = twin.wait(progress)
    if twin.failure:
        screen.say(f"  twin      its training beside this one ended ({twin.failure}); it goes on here")
    outcomes = []
    try:
        for stage in TO_ACTIVITY:
            again = force and not (stage is TRAIN and trained)
            outcomes.append(watched(stage, twin.folder.twin, twin.config, label="twin", force=again))
    except ChipLimitError as error:
        return Outcome("twin", "skipped", 0.0, f"the dense twin does not fit: {str(error).splitlines()[0]}")
    how: Literal["done", "reused"] = (
        "reused" if all(outcome.how == "reused" for outcome in outcomes) and not trained else "done"
    )
    return Outcome("twin", how, sum(outcome.seconds for outcome in outcomes), f"dense: {outcomes[-1].summary}")


def settings_and_folder(path: Path | None, out: Path | None, name: str = "") -> tuple[Config, Path]:
    """The configuration to start from, and where the run goes: a folder's own, a TOML file's, or the defaults."""
    if path is not None and path.is_dir():
        return folder_config(RunFolder(path)), out or path
    config = load_config(path) if path is not None else Config()
    return config, out or Path("runs") / (name or config.name)
