"""Threads that stay between runs: several levels, failures and forked children do not hang them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from filopodia.hardware.simulator.workers import processors, spread


def test_items_come_back_in_order_and_levels_may_nest() -> None:
    def tile(i: int) -> list[int]:
        return list(spread("parts", 2, lambda j: 10 * i + j, range(3)))

    assert list(spread("tiles", 2, tile, range(4))) == [[10 * i + j for j in range(3)] for i in range(4)]
    assert list(spread("tiles", 1, lambda i: i, [3, 1])) == [3, 1]
    assert processors() >= 1


def test_a_failing_item_is_told_and_the_threads_serve_on() -> None:
    def fail(i: int) -> float:
        return 1 / (i - 1)

    with pytest.raises(ZeroDivisionError):
        list(spread("tiles", 2, fail, range(3)))
    assert list(spread("tiles", 2, lambda i: i, range(3))) == [0, 1, 2]


FORK = """
import os
from filopodia.hardware.simulator.workers import spread
assert list(spread("tiles", 2, lambda i: i, range(3))) == [0, 1, 2]
child = os.fork()
if child == 0:
    os._exit(list(spread("tiles", 2, lambda i: i, range(3))) != [0, 1, 2])
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
def test_a_forked_child_gets_threads_of_its_own() -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], check=True, timeout=60)
