"""A stage: files in, files out, the settings it depends on. Done once, reused while nothing it reads has changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from filopodia import __version__
from filopodia.config import Config
from filopodia.provenance import StageRecord, command_line, load_provenance, now, save_provenance
from filopodia.run import RunFolder, fingerprint

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Stage:
    """`work` reads `reads`, writes `writes` (names in the run folder) and returns what came of it in one line.

    `uses` are files that are read when they are there; `settings` picks what of the configuration the stage depends on.
    `discards` are half-way files that a forced run must not go on from.
    """

    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    settings: Callable[[Config], Any]
    work: Callable[[RunFolder, Config, Progress | None], str]
    uses: tuple[str, ...] = ()
    discards: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What became of a stage, and the seconds it took (of the earlier run when reused). `summary` says why it was skipped."""

    stage: str
    how: Literal["done", "reused", "skipped"]
    seconds: float
    summary: str


class StageSkipped(Exception):
    """Raised by the work of a stage that may be missing; its text is the reason."""


def up_to_date(stage: Stage, folder: RunFolder, config: Config) -> StageRecord | None:
    """The record of an earlier run of the stage if it would come out the same now: same settings, files and release."""
    record = load_provenance(folder).stages.get(stage.name)
    if record is None or record.skipped or record.filopodia != __version__:
        return None
    if record.settings != plain(stage.settings(config)):
        return None
    if record.inputs != fingerprints(folder, (*stage.reads, *stage.uses)):
        return None
    return record if record.outputs and record.outputs == fingerprints(folder, tuple(record.outputs)) else None


def execute(
    stage: Stage, folder: RunFolder, config: Config, progress: Progress | None = None, *, force: bool = False
) -> Outcome:
    """Run a stage unless its result is there already. Raises FileError when an earlier stage's file is missing."""
    for name in stage.reads:
        folder.require(name)
    if not force and (record := up_to_date(stage, folder, config)):
        return Outcome(stage.name, "reused", record.seconds, record.summary)
    for name in stage.discards if force else ():
        (folder / name).unlink(missing_ok=True)
    inputs = fingerprints(folder, (*stage.reads, *stage.uses))
    started, clock = now(), time.perf_counter()
    summary = skipped = ""
    try:
        summary = stage.work(folder, config, progress)
    except StageSkipped as reason:
        skipped = str(reason)
    record = StageRecord(
        command=command_line(),
        started=started,
        seconds=round(time.perf_counter() - clock, 3),
        settings=plain(stage.settings(config)),
        inputs=inputs,
        outputs={} if skipped else fingerprints(folder, stage.writes),
        filopodia=__version__,
        summary=summary,
        skipped=skipped,
    )
    save_provenance(folder, load_provenance(folder).with_stage(stage.name, record))
    return Outcome(stage.name, "skipped" if skipped else "done", record.seconds, skipped or summary)


def holds(stage: Stage, folder: RunFolder) -> bool:
    """Whether the stage's files are here, and made of the files it reads that are here now, as far as the folder knows."""
    record = load_provenance(folder).stages.get(stage.name)
    known = record is None or (not record.skipped and record.inputs == fingerprints(folder, (*stage.reads, *stage.uses)))
    return known and all((folder / name).is_file() for name in stage.writes)


def fingerprints(folder: RunFolder, names: tuple[str, ...]) -> dict[str, str]:
    """SHA-256 of those of the named files that exist."""
    return {name: fingerprint(folder / name) for name in names if (folder / name).is_file()}


def plain(settings: Any) -> dict[str, Any]:
    """Settings as JSON would hold them, so that saved and present ones compare equal."""
    value: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(settings))
    return value
