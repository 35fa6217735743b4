"""Threads that stay from run to run, beside the caller's own, which works too.

A fresh thread, or one woken while its caller goes to sleep, may have to wait for a processor longer than a small run takes.
"""

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
def _pool(level: Level, helpers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(helpers, thread_name_prefix=f"filopodia-{level}")


if hasattr(os, "register_at_fork"):  # a forked child has the executors, but not their threads
    os.register_at_fork(after_in_child=_pool.cache_clear)


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spread(level: Level, helpers: int, work: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
    """`work` of each item, in any order, on this thread and up to `helpers` more.

    Tiles wait for the parts within them, so the two levels have threads of their own.
    """
    if helpers < 1:
        yield from map(work, items)
        return
    pool = _pool(level, helpers)
    asked = [(pool.submit(work, item), item) for item in items]
    try:
        while asked:
            future, item = asked.pop()  # the helpers begin at the other end
            yield work(item) if future.cancel() else future.result()
    finally:
        for future, _ in asked:
            future.cancel()
