"""Runs are told by method and target: over seeds as one point, over targets as one curve, labelled by what sets them apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from safetensors.numpy import save_file

from filopodia.cli.seeds import Training, load_training, methods_of, rows
from filopodia.config import Config
from filopodia.prune.config import PruneConfig, TrainConfig
from filopodia.report.curves import Trained
from filopodia.run import RunFolder


def training(
    name: str, accuracy: float, seed: int = 0, sparsity: float = 0.9, config: dict[str, Any] | None = None, **prune: Any
) -> Training:
    pruning = PruneConfig(**{"target_sparsity": sparsity, **prune})
    came_to = Trained(accuracy=accuracy, sparsity=sparsity, synapse_sparsity=sparsity / 2, synops=1000.0 + seed)
    return Training(name, TrainConfig(seed=seed, prune=pruning, **(config or {})), came_to)


def test_seeds_make_a_point_and_targets_a_curve() -> None:
    runs = [
        training("a", 0.98),
        training("b", 0.90, sparsity=0.95),
        training("c", 0.99, seed=1),
        training("d", 0.5, method="rigl"),
    ]
    stds, rigl = methods_of(runs)
    assert [[one.name for one in point] for point in stds.points] == [["a", "c"], ["b"]]  # from dense to sparse
    assert (stds.label, rigl.label) == ("stds", "rigl")
    assert not stds.curve.level
    told = rows([stds, rigl], {"a": 2e-6, "c": 3e-6, "b": 1e-6})
    assert [row[0] for row in told] == ["stds ×2", "stds", "rigl"]
    assert told[0][1:4] == ["98.50 ± 0.71", "90.00", "45.00"]
    assert [row[5].replace("\u202f", " ") for row in told] == ["2.50 ± 0.71 µJ", "1.00 µJ", "–"]


def test_labels_say_what_sets_methods_apart_and_nothing_else() -> None:
    runs = [
        training("a", 0.9, schedule="sine"),
        training("b", 0.9, schedule="cubic"),
        training("c", 0.9, schedule="sine", config={"epochs": 7}),
        training("d", 0.9, method="dense", schedule="constant", sparsity=0.1),  # what pruning would do means nothing to it
        training("e", 0.9, method="dense", schedule="linear", sparsity=0.2),
    ]
    assert [method.label for method in methods_of(runs)] == [
        "stds, schedule sine, epochs 50", "stds, schedule cubic, epochs 50", "stds, schedule sine, epochs 7",
        "dense, epochs 50",
    ]  # fmt: skip
    (dense,) = [method for method in methods_of(runs) if method.curve.level]
    assert [len(point) for point in dense.points] == [2]


def test_kinds_of_targets_are_curves_of_their_own() -> None:
    runs = [training("a", 0.9), training("b", 0.9, target_synops=1e4), training("c", 0.9, target_synops=2e4)]
    assert [(method.label, len(method.points)) for method in methods_of(runs)] == [
        ("stds, to sparsity", 1),
        ("stds, to synops", 2),
    ]


def weights(folder: Path, **header: Any) -> RunFolder:
    about = {"format": "filopodia weights", "config": msgspec.to_builtins(Config().train), **header}
    save_file({"w": np.zeros(1)}, folder / "weights.safetensors", {"filopodia": msgspec.json.encode(about).decode()})
    return RunFolder(folder)


def test_what_training_came_to_is_read_from_the_weights(tmp_path: Path) -> None:
    whole = {"test_accuracy": 0.9, "ConnectionSparsity": 0.8, "synapse_sparsity": 0.7, "synops": 6.0}
    found = load_training("a", weights(tmp_path, **whole))
    assert found == Training("a", TrainConfig(), Trained(accuracy=0.9, sparsity=0.8, synapse_sparsity=0.7, synops=6.0))


@pytest.mark.parametrize(
    "header", [{"test_accuracy": 0.9}, {"config": {"unknown": 1}}], ids=["earlier release", "other settings"]
)
def test_what_cannot_be_read_is_not_drawn(header: dict[str, Any], tmp_path: Path) -> None:
    whole = (
        {"test_accuracy": 0.9, "ConnectionSparsity": 0.8, "synapse_sparsity": 0.7, "synops": 6.0} if "config" in header else {}
    )
    assert load_training("a", weights(tmp_path, **whole, **header)) is None
    (tmp_path / "weights.safetensors").write_bytes(b"not a safetensors file")
    assert load_training("a", RunFolder(tmp_path)) is None
    (tmp_path / "weights.safetensors").unlink()
    assert load_training("a", RunFolder(tmp_path)) is None
