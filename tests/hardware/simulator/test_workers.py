"""Threads that stay between runs: several levels, failures and forked children do not hang them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from filopodia.hardware.simulator.workers import spread


def test_every_item_comes_back_once_and_levels_may_nest() -> None:
    def tile(i: int) -> list[int]:
        return sorted(spread("parts", 2, lambda j: 10 * i + j, range(3)))

    assert sorted(spread("tiles", 2, tile, range(4))) == [[10 * i + j for j in range(3)] for i in range(4)]
    assert list(spread("tiles", 0, lambda i: i, [3, 1])) == [3, 1]


def test_the_caller_works_beside_its_helpers() -> None:
    meeting = threading.Barrier(2, timeout=30)

    def meet(_: int) -> int:
        meeting.wait()  # passes only when two threads are at work
        return threading.get_ident()

    assert threading.get_ident() in set(spread("tiles", 1, meet, range(4)))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux ties a process to processors")
def test_only_processors_that_may_be_used_are_counted() -> None:
    found = subprocess.run([sys.executable, "-c", ONE], check=True, timeout=60, capture_output=True, text=True)
    assert found.stdout.strip() == "1"


def test_a_failing_item_is_told_and_the_threads_serve_on() -> None:
    def fail(i: int) -> float:
        return 1 / (i - 1)

    with pytest.raises(ZeroDivisionError):
        list(spread("tiles", 2, fail, range(3)))
    assert sorted(spread("tiles", 2, lambda i: i, range(3))) == [0, 1, 2]


ONE = """
import os
from filopodia.hardware.simulator.workers import processors
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
print(processors())
"""

FORK = """
import os
from filopodia.hardware.simulator.workers import spread
assert sorted(spread("tiles", 2, lambda i: i, range(3))) == [0, 1, 2]
child = os.fork()
if child == 0:
    os._exit(sorted(spread("tiles", 2, lambda i: i, range(3))) != [0, 1, 2])
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
def test_a_forked_child_gets_threads_of_its_own() -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], check=True, timeout=60)
