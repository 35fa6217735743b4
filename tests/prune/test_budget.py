"""A budget of synops: the controller on a made-up network, and a training that keeps budget and sparsity at once."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filopodia.errors import ConfigError
from filopodia.prune import DataConfig, DataSet, NetConfig, PruneConfig, Samples, TrainConfig, load_data, train
from filopodia.prune.budget import LEAST, MOST, START, SynopBudget
from filopodia.prune.schedule import Schedule

STEPS = 1000
CONFIG = TrainConfig(
    data=DataConfig(steps=4),
    net=NetConfig(channels=(4, 16), pool=(1, 2), hidden=(16,), votes=1),
    prune=PruneConfig(target_sparsity=0.7),
    epochs=12,
    batch_size=32,
    learning_rate=0.01,
    rate_penalty=0.0,
    threads=1,
)


@pytest.fixture(scope="module")
def data() -> DataSet:
    whole = load_data(DataConfig())
    return DataSet(Samples(whole.train.images[:640], whole.train.labels[:640]), whole.test)


def spending(budget: SynopBudget, dense: float, answer: float) -> float:
    """A network that spends dense·(START/strength)^answer, late: the firing of a step follows the strength within 50 steps."""
    felt = math.log(budget.strength)
    synops = dense
    for _ in range(budget.total_steps):
        felt += (math.log(budget.strength) - felt) / 50
        synops = dense * (START / math.exp(felt)) ** answer
        budget.spend(synops)
    return synops


@given(st.floats(0.4, 0.95), st.floats(0.25, 1.0))
def test_the_strength_settles_where_the_target_is_spent(share: float, answer: float) -> None:
    budget = SynopBudget(share * 1e4, Schedule("cubic", 0, 600), STEPS)
    assert spending(budget, 1e4, answer) == pytest.approx(budget.target, rel=0.03)


def test_a_budget_nobody_needs_lets_go_and_one_nobody_can_keep_stays_bounded() -> None:
    easy, hard = (SynopBudget(target, Schedule("linear", 0, 600), 10 * STEPS) for target in (1e9, 1.0))
    spending(easy, 1e4, 0.0)
    spending(hard, 1e4, 0.0)
    assert (easy.multiplier, hard.multiplier) == (LEAST, MOST)


def test_what_may_be_spent_falls_from_the_first_step_to_the_target() -> None:
    budget = SynopBudget(100.0, Schedule("linear", 0, 10), 20)
    allowed = []
    for _ in range(20):
        budget.spend(300.0)
        allowed.append(budget.allowed())
    assert allowed == pytest.approx([300.0 - 20.0 * min(n, 10) for n in range(1, 21)])


def test_sparsity_and_synops_are_both_kept(data: DataSet, tmp_path: Path) -> None:
    def spent(config: TrainConfig) -> tuple[float, float]:
        *_, last = train(config, data=data)
        return last.synops, last.sparsity

    free, sparsity = spent(CONFIG)
    budget = 0.7 * free
    kept, also = spent(msgspec.structs.replace(CONFIG, synop_budget=budget))
    assert sparsity == also == pytest.approx(0.7, abs=1e-3)
    assert kept == pytest.approx(budget, rel=0.1)  # 240 steps; docs/pruning.md has what longer runs come to


def test_killed_and_resumed_it_ends_bit_identical(data: DataSet, tmp_path: Path) -> None:
    config = msgspec.structs.replace(CONFIG, epochs=3, synop_budget=3000.0)
    list(train(config, tmp_path / "whole", data=data))
    running = train(config, tmp_path / "killed", data=data)
    next(running)
    running.close()
    list(train(config, tmp_path / "killed", data=data, resume=True))
    whole, killed = ((tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "killed"))
    assert whole == killed


@pytest.mark.parametrize(
    "rival", [{"synop_penalty": 0.1}, {"prune": PruneConfig(target_synops=1000.0)}], ids=["penalty", "target"]
)
def test_one_thing_steers(data: DataSet, rival: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="synop_budget"):
        next(train(msgspec.structs.replace(CONFIG, synop_budget=1000.0, **rival), data=data))
