"""The census of spines, NeuroBench's names, and TensorBoard where it is and where it isn't."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest
import torch
from torch import nn

from filopodia.errors import ConfigError
from filopodia.prune import STDS, DataConfig, DataSet, NetConfig, Samples, TrainConfig, load_data, train
from filopodia.prune.telemetry import Census, SpineCount, to_tensorboard


def test_census_counts_what_grew_and_what_was_retracted() -> None:
    layer = nn.Linear(3, 2)
    pruner = STDS(layer, total_steps=9, threshold=1.0, schedule="constant")
    theta = pruner.weights[0].theta
    with torch.no_grad():
        theta.copy_(torch.tensor([[2.0, 0.5, -3.0], [0.0, -0.5, 4.0]]))
    census = Census(pruner.weights)
    assert census.take() == {"": SpineCount(filopodia=3, mature=3, grown=0, retracted=0)}
    with torch.no_grad():
        theta.copy_(torch.tensor([[0.5, -2.0, -3.0], [3.0, -0.5, 4.0]]))
    count = census.take()[""]
    assert count == SpineCount(filopodia=2, mature=4, grown=2, retracted=1)
    assert count.turnover == 0.5


def test_a_line_speaks_neurobenchs_names(tmp_path: Path) -> None:
    whole = load_data(DataConfig())
    few = DataSet(*(Samples(part.images[:64], part.labels[:64]) for part in (whole.train, whole.test)))
    config = TrainConfig(net=NetConfig(channels=(3,), pool=(2,), hidden=(), votes=1), epochs=4, batch_size=32, threads=1)
    list(train(config, tmp_path, data=few))
    line = json.loads((tmp_path / "telemetry.jsonl").read_text().splitlines()[-1])
    weights = {"conv1": 27, "fc2": 480}
    zeros = sum(line["spines"][name]["filopodia"] for name in weights)
    assert line["ConnectionSparsity"] == pytest.approx(zeros / 507)
    assert line["SynapticOperations"]["Dense"] == 8 * (3 * (3 * 8 - 2) ** 2 + 480)
    assert line["SynapticOperations"]["Effective_MACs"] == 0
    assert line["SynapticOperations"]["Effective_ACs"] == pytest.approx(line["synops"])
    assert 0 <= line["ActivationSparsity"] <= 1
    assert line["Footprint"] > 4 * 507
    assert line["layers"]["conv1"]["synapses"] == 3 * (3 * 8 - 2) ** 2
    assert set(line["dead_neurons"]) == set(line["firing_rates"]) == {"spike1", "spike2"}


@pytest.mark.skipif(find_spec("tensorboard") is not None, reason="TensorBoard is installed here")
def test_missing_tensorboard_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"filopodia\[tensorboard\]"):
        to_tensorboard({"epoch": 1, "loss": 0.5}, tmp_path)


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="TensorBoard is not installed")
def test_tensorboard_gets_a_file(tmp_path: Path) -> None:
    to_tensorboard({"epoch": 1, "layers": {"conv1": {"synops": 3.0}}}, tmp_path)
    assert list((tmp_path / "tensorboard").iterdir())


def test_configuration_survives_toml() -> None:
    config = TrainConfig(epochs=3)
    assert msgspec.toml.decode(msgspec.toml.encode(config), type=TrainConfig) == config
