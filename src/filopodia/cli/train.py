"""`filopodia train`: a network, sparse, from a configuration; an interrupted run goes on from its last epoch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import tyro

from filopodia.cli import screen
from filopodia.cli.arguments import parse
from filopodia.cli.run import settings_and_folder
from filopodia.cli.steps import watched
from filopodia.config import Config, save_config
from filopodia.prune.config import TrainConfig
from filopodia.run import open_run
from filopodia.stages.train import TRAIN


class Arguments(msgspec.Struct, frozen=True, kw_only=True):
    path: tyro.conf.Positional[Annotated[Path | None, tyro.conf.arg(metavar="PATH")]] = None
    """A configuration (.toml) to start from, or the run folder to go on with. Without one: the digits, with the defaults."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    """The run folder (runs/NAME)."""
    name: str = Config().name
    """What the run is called."""
    force: bool = False
    """Train anew even if the weights are up to date."""
    train: Annotated[TrainConfig, tyro.conf.arg(name="")] = TrainConfig()


def main(words: Sequence[str]) -> None:
    first = parse("train", Arguments, words)
    base, _ = settings_and_folder(first.path, first.out)
    arguments = parse("train", Arguments, words, Arguments(name=base.name, train=base.train))
    config = msgspec.structs.replace(base, name=arguments.name, train=arguments.train)
    _, where = settings_and_folder(arguments.path, arguments.out, config.name)
    folder = open_run(where, create=True)
    save_config(folder, config)
    screen.say_outcome(watched(TRAIN, folder, config, force=arguments.force))
    screen.say(f"next: filopodia export {folder.path}")
