"""What the verbs that run one step share: find the folder, read the flags, do the step, keep the settings, say how it went."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import tyro

from filopodia.cli import screen
from filopodia.cli.arguments import parse_in_folder
from filopodia.cli.places import DEFAULT, place
from filopodia.config import Config, save_config
from filopodia.run import RunFolder
from filopodia.stage import Outcome, Stage, execute


class StepArguments(msgspec.Struct, frozen=True, kw_only=True):
    """What every step takes."""

    path: tyro.conf.Positional[Path] = DEFAULT
    """A run folder, or one of its files."""
    force: bool = False
    """Do it even if the result is up to date."""
    json: bool = False
    """Print JSON and nothing else."""

    def place(self) -> RunFolder:
        return place(self.path)


class FileArguments(StepArguments, frozen=True, kw_only=True):
    """What a step takes that can also start from a file of the user's own."""

    out: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    """For a network or program from elsewhere: the run folder to make for it (runs/NAME)."""
    spikes: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    """Spikes of your own, .npy [T, N, *shape] or .npz with "input" and "labels": they become the folder's golden spikes."""

    def place(self) -> RunFolder:
        return place(self.path, self.out, self.spikes)


A = TypeVar("A", bound=StepArguments)


def step(
    verb: str, kind: type[A], words: Sequence[str], stage: Stage, adjust: Callable[[Config], Config] = lambda config: config
) -> tuple[A, RunFolder, Config]:
    """Run one stage as a verb does, with the folder's settings and the flags over them, and keep those settings.

    A line says how it went unless --json wants JSON alone. `adjust` changes what the stage sees, not what is kept.
    """
    arguments, folder, config = parse_in_folder(verb, kind, words, lambda given: given.place())
    outcome = watched(stage, folder, adjust(config), force=arguments.force, quiet=arguments.json)
    save_config(folder, config)
    if not arguments.json:
        screen.say_outcome(outcome)
    return arguments, folder, config


def watched(
    stage: Stage, folder: RunFolder, config: Config, *, label: str = "", force: bool = False, quiet: bool = False
) -> Outcome:
    """Run one stage with its progress on the screen."""
    if quiet:
        return execute(stage, folder, config, force=force)
    with screen.progress(label or stage.name) as progress:
        return execute(stage, folder, config, progress, force=force)


def print_json(value: Any) -> None:
    """A value as indented JSON on standard output, for other programs to read."""
    print(msgspec.json.format(msgspec.json.encode(value), indent=1).decode())
