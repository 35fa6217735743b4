"""Runs over seeds become one row of means and deviations; runs that differ in more do not."""

from __future__ import annotations

from pathlib import Path

import msgspec

from filopodia.cli.seeds import cells, over_seeds
from filopodia.config import Config, save_config
from filopodia.report.contrast import Entry
from filopodia.report.costs import Amount
from filopodia.run import open_run


def entry(folder: Path, accuracy: float | None, seed: int, **train: object) -> Entry:
    config = Config(name=folder.name)
    config = msgspec.structs.replace(config, train=msgspec.structs.replace(config.train, seed=seed, **train))
    save_config(open_run(folder, create=True), config)
    energy = Amount(low=1e-6, nominal=2e-6 + seed * 1e-6, high=9e-6)
    return Entry(
        name=str(folder), costs="loihi2/pilotnet", accuracy=accuracy, energy=energy, latency=None, cores=1, synops=1000.0,
        sparsity=0.9, beaten_by=(), surely=(),
    )  # fmt: skip


def test_runs_over_seeds_are_told_as_mean_and_deviation(tmp_path: Path) -> None:
    runs = [entry(tmp_path / "a", 0.98, 0), entry(tmp_path / "b", 0.99, 1), entry(tmp_path / "c", 0.5, 0, epochs=7)]
    (group,) = over_seeds(runs)
    assert [Path(one.name).name for one in group] == ["a", "b"]
    name, right, sparse, synops, energy = cells(group)
    assert name.endswith("a and 1 more")
    assert (right, sparse) == ("98.50 ± 0.71 %", "90.0 ± 0.0 %")
    assert synops.startswith("1\u202f000 ± 0")
    assert energy.replace("\u202f", " ") == "2.50 µJ ± 707 nJ"


def test_unknown_answers_and_foreign_folders_are_no_error(tmp_path: Path) -> None:
    runs = [entry(tmp_path / "a", None, 0), entry(tmp_path / "b", 0.99, 1)]
    (tmp_path / "c").mkdir()
    foreign = msgspec.structs.replace(runs[0], name=str(tmp_path / "c"))
    (group,) = over_seeds([*runs, foreign])
    assert cells(group)[1] == "–"
