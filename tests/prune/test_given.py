"""What a training run is given and goes on from: wrong data, settings and checkpoints, refused with what was written kept."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from filopodia.errors import ConfigError, FileError, FilopodiaError, InputError
from filopodia.prune import DataConfig, DataSet, NetConfig, Samples, TrainConfig, load_data, load_model, train

CONFIG = TrainConfig(data=DataConfig(steps=2), net=NetConfig(channels=(2, 2), pool=(2, 2), hidden=(8,)), epochs=3, device="cpu")
Header, Tensors = dict[str, Any], dict[str, Tensor]


@pytest.fixture(scope="module")
def data() -> DataSet:
    whole = load_data(CONFIG.data)
    return DataSet(whole.train.part(slice(64)), whole.test.part(slice(50)))


@pytest.fixture(scope="module")
def stopped(data: DataSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with two of three epochs done."""
    folder = tmp_path_factory.mktemp("stopped")
    training = train(CONFIG, folder, data=data)
    next(training), next(training)
    training.close()
    return folder


@pytest.fixture
def folder(stopped: Path, tmp_path: Path) -> Path:
    shutil.copytree(stopped, tmp_path / "run")
    return tmp_path / "run"


def spoiled(path: Path, change: Callable[[Header, Tensors], Any]) -> None:
    """Write a checkpoint again with its header and tensors changed; a text that `change` returns becomes the header."""
    with safe_open(path, "pt") as file:
        header, tensors = json.loads(file.metadata()["filopodia"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    text = change(header, tensors)
    save_file(tensors, path, {"filopodia": text if isinstance(text, str) else json.dumps(header)})


def first(tensors: Tensors, part: str) -> str:
    return next(name for name, tensor in tensors.items() if name.startswith(part) and tensor.ndim > 1)


DAMAGES: dict[str, tuple[Callable[[Header, Tensors], Any], str]] = {
    "header no JSON": (lambda h, t: "{oops", "damaged header"),
    "header a list": (lambda h, t: "[1]", "damaged header"),
    "no header": (lambda h, t: "", "no filopodia header"),
    "version 2": (lambda h, t: h.update(version=2), "version 2"),
    "other settings": (lambda h, t: h["config"].update(epochs=9), "another configuration"),
    "no settings": (lambda h, t: h.pop("config") and None, "another configuration"),
    "no optimizer": (lambda h, t: h.pop("optimizer") and None, "damaged .*optimizer"),
    "no pruner": (lambda h, t: h.pop("pruner") and None, "damaged .*pruner"),
    "no epoch": (lambda h, t: h.pop("epoch") and None, "damaged .*epoch"),
    "no scaler": (lambda h, t: h.pop("scaler", None) and None, "damaged .*scaler"),
    "a tensor of nobody": (lambda h, t: t.update({"nobody.x": torch.ones(1)}), "damaged .*nobody"),
    "weight gone": (lambda h, t: t.pop(first(t, "model.")) is None, "missing|unknown"),
    "momentum gone": (lambda h, t: t.pop(first(t, "optimizer.")) is None, "damaged .*optimizer"),
    "weight of another shape": (lambda h, t: t.update({first(t, "model."): torch.zeros(3, 3)}), "of another shape"),
    "momentum of another shape": (lambda h, t: t.update({first(t, "optimizer."): torch.zeros(3, 3)}), "damaged .*shape"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_named_and_left_as_it_is(damage: str, folder: Path, data: DataSet) -> None:
    change, words = DAMAGES[damage]
    spoiled(folder / "checkpoint.safetensors", change)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(FileError, match=f"checkpoint.safetensors: .*{words}"):
        next(train(CONFIG, folder, data=data, resume=True))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("content", [b"", b"hello", None, os.urandom(3000)], ids=["empty", "text", "truncated", "noise"])
def test_a_checkpoint_that_is_none(content: bytes | None, folder: Path, data: DataSet) -> None:
    path = folder / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:2000] if content is None else content)
    with pytest.raises(FileError, match=r"checkpoint.safetensors: cannot be read"):
        next(train(CONFIG, folder, data=data, resume=True))


@pytest.mark.parametrize("content", [b"\xff\xfe", b"not\njson\nat\nall\n", None], ids=["binary", "text", "gone"])
def test_telemetry_is_no_reason_not_to_go_on(content: bytes | None, folder: Path, data: DataSet) -> None:
    path = folder / "telemetry.jsonl"
    path.unlink() if content is None else path.write_bytes(content)
    assert [event.epoch for event in train(CONFIG, folder, data=data, resume=True)] == [3]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: DataSet(d.train.part(slice(0)), d.test), "training samples for digits: 0 samples"),
        (lambda d: DataSet(d.train, d.test.part(slice(0))), "test samples for digits: 0 samples"),
        (lambda d: DataSet(Samples(d.train.images, d.train.labels[:9]), d.test), "64 samples with 9 labels"),
        (lambda d: DataSet(Samples(d.train.images, d.train.labels + 1), d.test), "from 1 to 10"),
        (lambda d: DataSet(Samples(d.train.images, d.train.labels - 1), d.test), "from -1 to 8"),
        (lambda d: DataSet(Samples(d.train.images, d.train.labels.float()), d.test), "float32"),
        (lambda d: DataSet(Samples(d.train.images[:, :, 1:], d.train.labels), d.test), r"\[1, 7, 8\]"),
        (lambda d: DataSet(Samples(d.train.images * torch.nan, d.train.labels), d.test), "not finite"),
        (lambda d: DataSet(d.train, Samples(d.test.images / 0, d.test.labels)), "test samples for digits: .*not finite"),
    ],
)
def test_data_that_are_not_the_networks(
    change: Callable[[DataSet], DataSet], words: str, data: DataSet, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=words):
        next(train(CONFIG, tmp_path / "run", data=change(data)))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_size": 0}, "batch_size: .*>= 1"),
        ({"learning_rate": 0.0}, "learning_rate: .*> 0"),
        ({"validation": 1.0}, "validation: .*< 1"),
        ({"net": msgspec.structs.replace(CONFIG.net, hidden=(0,))}, r"net.hidden\[0\]: .*>= 1"),
        ({"prune": msgspec.structs.replace(CONFIG.prune, target_sparsity=2.0)}, "prune.target_sparsity: .*< 1"),
        ({"prune": msgspec.structs.replace(CONFIG.prune, method="magic")}, "prune.method: .*magic"),
        ({"epochs": "3"}, "epochs: .*int"),
    ],
)
def test_settings_built_in_python_are_checked_too(changes: dict[str, Any], words: str, data: DataSet, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        next(train(msgspec.structs.replace(CONFIG, **changes), tmp_path / "run", data=data))
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match="a dict"):
        next(train({}, tmp_path / "run", data=data))  # type: ignore[arg-type]


def test_a_folder_that_cannot_be_made(data: DataSet, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file" / "run", Path("/proc/run")):
        with pytest.raises(FileError, match=f"{place}: cannot be a run folder"):
            next(train(CONFIG, place, data=data))
    assert (tmp_path / "file").read_text() == "mine"


def test_weights_of_another_architecture_or_kind(folder: Path, data: DataSet) -> None:
    for _ in train(CONFIG, folder, data=data, resume=True):
        pass
    other = msgspec.structs.replace(CONFIG, net=msgspec.structs.replace(CONFIG.net, hidden=(9,)))
    for config, path, words in (
        (other, folder, "of another shape: fc3.weight"),
        (CONFIG, folder / "checkpoint.safetensors", "filopodia checkpoint version 1"),
        (CONFIG, folder / "telemetry.jsonl", "cannot be read"),
        (CONFIG, folder / "nowhere", "no such file"),
    ):
        with pytest.raises(FilopodiaError, match=words):
            load_model(config, path)
