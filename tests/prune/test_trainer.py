"""The trainer: learns, is deterministic, resumes bit by bit, and refuses what it cannot go on with."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors import safe_open

from filopodia.errors import ConfigError, FileError, TrainingError
from filopodia.prune import (
    DataConfig,
    DataSet,
    NetConfig,
    PruneConfig,
    Samples,
    TrainConfig,
    evaluate,
    load_data,
    load_model,
    readout,
    train,
)
from filopodia.prune.loop import loss_of

TINY = TrainConfig(
    data=DataConfig(steps=4),
    net=NetConfig(channels=(4,), pool=(2,), hidden=(16,), votes=1),
    prune=PruneConfig(target_sparsity=0.7),
    epochs=8,
    batch_size=16,
    learning_rate=0.01,
    loss="mse",
    threads=1,
)


@pytest.fixture(scope="module")
def data() -> DataSet:
    whole = load_data(DataConfig())
    return DataSet(*(Samples(part.images[:200], part.labels[:200]) for part in (whole.train, whole.test)))


@pytest.fixture(scope="module")
def run(data: DataSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    list(train(TINY, folder, data=data))
    return folder


def test_learns_and_leaves_exact_zeros(run: Path, data: DataSet) -> None:
    lines = [json.loads(line) for line in (run / "telemetry.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(1, 9))
    assert lines[-1]["test_accuracy"] > 0.3  # of 200, after 104 steps
    assert lines[-1]["frozen"]
    net = load_model(TINY, run)
    assert not net.training
    weights = [p for p in net.parameters() if p.dim() > 1]
    total = sum(w.numel() for w in weights)
    assert sum(int((w == 0).sum()) for w in weights) == round(0.7 * total)
    assert evaluate(net, data.test, TINY.data, 10).accuracy == lines[-1]["test_accuracy"]
    assert not list(run.glob("*.part"))


def test_killed_and_resumed_it_ends_bit_identical(run: Path, data: DataSet, tmp_path: Path) -> None:
    running = train(TINY, tmp_path, data=data)
    for _ in range(2):
        next(running)
    running.close()  # as a kill would: nothing after the second epoch is kept
    events = list(train(TINY, tmp_path, data=data, resume=True))
    assert [event.epoch for event in events] == list(range(3, 9))
    assert (tmp_path / "weights.safetensors").read_bytes() == (run / "weights.safetensors").read_bytes()
    lines = [json.loads(line) for line in (tmp_path / "telemetry.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(1, 9))


FIXED = msgspec.structs.replace(TINY, epochs=3, quantize_epochs=3)


def test_fixed_point_follows_and_survives_a_kill_in_either_part(data: DataSet, tmp_path: Path) -> None:
    (whole,) = folders = [tmp_path / "whole"]
    events = list(train(FIXED, whole, data=data))
    assert [(event.epoch, event.epochs) for event in events] == [(n, 6) for n in range(1, 7)]
    assert events[-1].sparsity >= 0.7  # weights that are rounded to zero add to it
    for kills in ((1,), (3,), (4,), (2, 5)):
        folders.append(tmp_path / "killed" / str(kills))
        done = 0
        for until in kills:
            running = train(FIXED, folders[-1], data=data, resume=True)
            for _ in range(until - done):
                done = next(running).epoch
            running.close()
        list(train(FIXED, folders[-1], data=data, resume=True))
    lines = []
    for folder in folders:
        assert (folder / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()
        told = [json.loads(line) for line in (folder / "telemetry.jsonl").read_text().splitlines()]
        lines.append([{**line, "seconds": 0} for line in told])
    assert all(line == lines[0] for line in lines)
    net = load_model(FIXED, whole)
    assert evaluate(net, data.test, FIXED.data, 10).accuracy == lines[0][-1]["test_accuracy"]
    scale = float(net.get_submodule("spike1").scale) / 2  # half of the input charges a neuron with τ = 2
    assert bool((net.get_submodule("conv1").weight.detach() * scale % 2 == 0).all())


def test_what_cannot_be_fixed_point_is_refused_before_training(data: DataSet) -> None:
    config = msgspec.structs.replace(FIXED, data=DataConfig(steps=2, encoding="direct"))
    with pytest.raises(ConfigError, match=r"steps of 1/16.*quantize_epochs"):
        next(train(config, data=data))


def test_another_configuration_does_not_resume(run: Path, data: DataSet) -> None:
    with pytest.raises(FileError, match="another configuration"):
        next(train(msgspec.structs.replace(TINY, learning_rate=0.02), run, data=data, resume=True))


def test_another_architecture_and_broken_files_are_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"conv2\.weight"):
        load_model(msgspec.structs.replace(TINY, net=NetConfig()), run)
    with pytest.raises(FileError, match="no such file"):
        load_model(TINY, tmp_path)
    short = tmp_path / "short.safetensors"
    short.write_bytes((run / "weights.safetensors").read_bytes()[:-100])
    with pytest.raises(FileError, match="cannot be read"):
        load_model(TINY, short)
    with pytest.raises(FileError, match="filopodia checkpoint"):
        load_model(TINY, run / "checkpoint.safetensors")


def test_a_loss_that_is_no_number_stops_with_its_step(data: DataSet, tmp_path: Path) -> None:
    bad = DataSet(Samples(torch.full_like(data.train.images, 3e38), data.train.labels), data.test)
    config = msgspec.structs.replace(TINY, data=DataConfig(steps=2, encoding="direct"))
    good = train(config, tmp_path, data=data)
    next(good)
    good.close()
    last = (tmp_path / "checkpoint.safetensors").read_bytes()
    first = len(data.train) // config.batch_size + 1
    with pytest.raises(TrainingError, match=f"epoch 2, optimizer step {first + 1}: the (loss|gradient's size) is (nan|inf)"):
        next(train(config, tmp_path, data=bad, resume=True))
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == last


def test_dense_returns_the_net(data: DataSet) -> None:
    running = train(msgspec.structs.replace(TINY, prune=PruneConfig(method="dense"), epochs=1), data=data)
    event = next(running)
    assert event.sparsity == 0.0
    with pytest.raises(StopIteration) as stop:
        next(running)
    assert isinstance(stop.value.value, torch.nn.Sequential)


def test_neighbours_vote() -> None:
    spikes = torch.zeros(2, 1, 6)
    spikes[:, 0, 2], spikes[0, 0, 3], spikes[0, 0, 5] = 1, 1, 1
    assert readout(spikes, 3).tolist() == [[0.0, 0.75, 0.25]]


def test_smoothed_labels_move_the_losss_minimum() -> None:
    labels = torch.tensor([1])
    for loss in ("mse", "cross_entropy"):
        config = msgspec.structs.replace(TINY, loss=loss, logit_scale=1.0, label_smoothing=0.4)
        target = torch.tensor([[0.1, 0.7, 0.1, 0.1]])
        best = (target if loss == "mse" else target.log()).requires_grad_()
        (slope,) = torch.autograd.grad(loss_of(best, labels, config), best)
        torch.testing.assert_close(slope, torch.zeros_like(slope), atol=1e-6, rtol=0)


def test_configuration_is_strict() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({"epoch": 3}, TrainConfig)
    with pytest.raises(msgspec.ValidationError, match=r"\$\.prune\.target_sparsity"):
        msgspec.convert({"prune": {"target_sparsity": 1.5}}, TrainConfig)


def test_held_out_samples_choose_the_epoch(data: DataSet, tmp_path: Path) -> None:
    config = msgspec.structs.replace(TINY, validation=0.2)
    list(train(config, tmp_path, data=data))
    before = (tmp_path / "weights.safetensors").read_bytes()
    with safe_open(tmp_path / "weights.safetensors", framework="pt") as file:
        chosen = json.loads(file.metadata()["filopodia"])["epoch"]
    lines = [json.loads(line) for line in (tmp_path / "telemetry.jsonl").read_text().splitlines()]
    assert lines[chosen - 1]["frozen"]  # only epochs at the target sparsity stand for election
    list(train(config, tmp_path, data=data, resume=True))  # nothing left to do: the choice stands
    assert (tmp_path / "weights.safetensors").read_bytes() == before


def test_a_network_without_hidden_layers_has_no_spikes_to_penalise(data: DataSet) -> None:
    net = NetConfig(channels=(), pool=(), hidden=(), votes=1)
    config = msgspec.structs.replace(TINY, net=net, epochs=1, rate_penalty=0.1, synop_penalty=0.1)
    (epoch,) = list(train(config, data=data))
    assert epoch.sparsity == pytest.approx(0.7, abs=1e-3)
