"""The settings of a run, on the simulator or on Lava, checked before any work."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from filopodia.arguments import whole
from filopodia.errors import InputError

RECORDS = ("spikes", "u", "v")


def checked_record(record: Any, where: str = "simulate") -> frozenset[str]:
    """What to keep, as a set. Raises InputError for a name that is not one of "spikes", "u" and "v"."""
    names = list(record) if isinstance(record, Iterable) and not isinstance(record, str | bytes) else None
    if names is None or not all(isinstance(name, str) and name in RECORDS for name in names):
        found = record if names is None else names
        raise InputError(f"record {found!r}", where=where, allowed="any of " + ", ".join(f'"{name}"' for name in RECORDS))
    return frozenset(names)


def checked_threads(threads: Any) -> int | None:
    """How many threads, None for all processors. Raises InputError unless it is a whole number of at least 1."""
    if threads is None:
        return None
    return whole(threads, "simulate: threads", allowed="a whole number of at least 1, or None for all processors")


def checked_memory(memory: Any) -> int:
    """How many bytes. Raises InputError unless it is a whole number of at least 1; whether they are enough is seen later."""
    return whole(memory, "simulate: memory", allowed="a whole number of bytes, at least 1", fix="memory=2**30 is 1 GiB")


def check_progress(progress: Any, where: str = "simulate") -> None:
    """Raise InputError unless it is None or can be called."""
    if progress is not None and not callable(progress):
        raise InputError(
            f"progress {progress!r}", where=where, allowed="a function of (text, samples done, samples in all), or None"
        )
