"""Threads that stay: a fresh thread may have to wait for a processor longer than a small run takes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Literal, TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")

Level = Literal["tiles", "parts"]


@cache
def _pool(level: Level, count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix=f"filopodia-{level}")


if hasattr(os, "register_at_fork"):  # a forked child has the executors, but not their threads
    os.register_at_fork(after_in_child=_pool.cache_clear)


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spread(level: Level, count: int, work: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
    """`map(work, items)` on `count` threads of a level; on this thread where `count` is less than 2.

    Tiles wait for the parts within them, so the two levels have threads of their own.
    """
    return map(work, items) if count < 2 else _pool(level, count).map(work, items)
