"""The curves: ends, monotony, and the paper's and the follow-up's formulas."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filopodia.errors import InputError
from filopodia.prune import Schedule
from filopodia.prune.schedule import SHAPES


@pytest.mark.parametrize("shape", sorted(set(SHAPES) - {"constant"}))
def test_from_nothing_to_all_without_a_step_back(shape: str) -> None:
    schedule = Schedule(shape, 10, 50)
    values = [schedule(n) for n in range(70)]
    assert values[:11] == [0.0] * 11
    assert values[50:] == pytest.approx([1.0] * 20)
    assert all(a <= b for a, b in itertools.pairwise(values))


@given(st.integers(1, 500))
def test_sine_is_the_papers(n: int) -> None:
    assert Schedule("sine", 0, 500)(n) == pytest.approx((1 + math.sin(math.pi * (n / 500 - 0.5))) / 2)


def test_cosine_lr_grows_as_the_learning_rate_falls() -> None:
    schedule = Schedule("cosine_lr", 0, 10_000)
    ratios = [(schedule(n + 1) - schedule(n)) / (1 + math.cos(math.pi * (n + 0.5) / 10_000)) for n in range(0, 9_900, 300)]
    assert ratios == pytest.approx([ratios[0]] * len(ratios), rel=1e-4)


@pytest.mark.parametrize("arguments", [("sine", 5, 5), ("sine", -1, 5), ("square", 0, 5)])
def test_wrong_arguments(arguments: tuple[str, int, int]) -> None:
    with pytest.raises(InputError):
        Schedule(*arguments)
