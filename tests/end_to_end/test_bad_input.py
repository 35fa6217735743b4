"""What a user can get wrong: one clear message, exit code 2, no traceback, no half-written file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

from filopodia.cli import main

Command = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def folder(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy of the tiny run to spoil."""
    shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns("twin"))
    return tmp_path / "run"


def refused(done: CompletedProcess[str], *words: str) -> None:
    """The command ended with 2 and a message that holds the words, and nothing that looks like a crash."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


def untouched(folder: Path, before: dict[str, bytes]) -> None:
    """No file appeared, vanished or changed, and none was left beside."""
    assert contents(folder) == before


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_an_activity_of_another_program_is_named(folder: Path, tiny_run: Path, command: Command) -> None:
    shutil.copy(tiny_run / "twin" / "activity.npz", folder / "activity.npz")
    refused(command("estimate", folder, cwd=folder), f"{folder}: activity: spike1: ", "made by another program")


def test_missing_run_folder(command: Command, tmp_path: Path) -> None:
    refused(command("simulate", "nowhere", cwd=tmp_path), "nowhere", "no such run folder", "filopodia run")
    assert list(tmp_path.iterdir()) == []


def test_missing_earlier_step(command: Command, folder: Path) -> None:
    (folder / "program.npz").unlink()
    before = contents(folder)
    refused(command("simulate", folder, cwd=folder), "no program.npz here", f"filopodia compile {folder}")
    untouched(folder, before)


@pytest.mark.parametrize(
    ("name", "verb"),
    [("model.nir", "compile"), ("golden.npz", "simulate"), ("program.npz", "simulate"), ("weights.safetensors", "export")],
)
def test_truncated_file(command: Command, folder: Path, name: str, verb: str) -> None:
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    before = contents(folder)
    refused(command(verb, folder, cwd=folder), name)
    untouched(folder, before)


@pytest.mark.parametrize("name", ["verify.json", "estimate.json"])
def test_truncated_result(command: Command, folder: Path, name: str) -> None:
    (folder / name).write_text("{")
    refused(command("report", folder, cwd=folder), name, "filopodia")


def test_unknown_configuration_key(command: Command, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[train]\nepoch = 3\n")
    refused(command("run", "c.toml", cwd=tmp_path), "c.toml", "epoch", "epochs")
    assert [path.name for path in tmp_path.iterdir()] == ["c.toml"]


def test_unknown_flag_and_value_out_of_range(command: Command, tmp_path: Path) -> None:
    assert command("train", "--epoch", "3", cwd=tmp_path).returncode == 2
    refused(command("train", "--epochs", "0", cwd=tmp_path), "epochs", ">= 1")
    assert list(tmp_path.iterdir()) == []


def test_unsupported_node(command: Command, tmp_path: Path) -> None:
    import h5py
    import nir

    graph = nir.NIRGraph.from_list(nir.Linear(weight=np.ones((2, 2), np.float32)))
    nir.write(tmp_path / "odd.nir", graph)
    with h5py.File(tmp_path / "odd.nir", "r+") as file:
        node = next(entry for name, entry in file["node/nodes"].items() if "input" not in name and "output" not in name)
        del node["type"]
        node["type"] = "Sigmoid"
    refused(command("compile", "odd.nir", cwd=tmp_path), "Sigmoid")
    assert not (tmp_path / "runs" / "odd" / "program.npz").exists()


def test_network_that_does_not_fit(command: Command, folder: Path) -> None:
    chip = (
        'name = "speck-of-dust"\ntitle = "Speck of dust"\n'
        '[limits.cores_per_chip]\nvalue = 1\nunit = "cores"\nsource = "this test"\n'
        '[limits.neurons]\nvalue = 3\nunit = "neurons"\nsource = "this test"\n'
        '[limits.synapse_bits]\nvalue = 64\nunit = "bits"\nsource = "this test"\n'
    )
    (folder / "dust.toml").write_text(chip)
    before = contents(folder)
    done = command("compile", folder, "--chip", folder / "dust.toml", cwd=folder)
    refused(done, "does not fit", "fix:")
    untouched(folder, before)


def test_wrong_input_shape(command: Command, folder: Path) -> None:
    np.save(folder.parent / "wrong.npy", np.zeros((4, 2, 1, 5, 5), np.uint8))
    before = contents(folder)
    refused(
        command("simulate", folder, "--spikes", folder.parent / "wrong.npy", cwd=folder), "[4, 2, 1, 5, 5]", "[T, N, 1, 8, 8]"
    )
    untouched(folder, before)


SPIKES = np.ones((4, 2, 1, 8, 8))


@pytest.mark.parametrize(
    ("spikes", "word"),
    [
        (SPIKES * np.nan, "not finite"),
        (SPIKES * np.inf, "not finite"),
        (SPIKES * 3, "values from 3.0 to 3.0"),
        (-SPIKES, "values from -1.0 to -1.0"),
        (SPIKES / 2, "not whole numbers"),
        (SPIKES.astype(complex), "complex128"),
        (SPIKES.astype(str), "<U32"),
        (SPIKES[:0], "[0, 2, 1, 8, 8]"),
        (SPIKES[:, :0], "[4, 0, 1, 8, 8]"),
    ],
)
def test_spikes_that_the_program_cannot_take_do_not_replace_the_golden_ones(
    spikes: np.ndarray, word: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(folder.parent / "wrong.npy", spikes)
    before = contents(folder)
    assert main(["simulate", str(folder), "--spikes", str(folder.parent / "wrong.npy")]) == 2
    assert word in capsys.readouterr().err
    untouched(folder, before)


def test_damaged_telemetry(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "telemetry.jsonl").write_bytes(b'{"epoch": 1\xff\xfe')
    assert main(["report", str(folder), "--force"]) == 2
    assert "telemetry.jsonl: not JSON lines" in capsys.readouterr().err


def test_spikes_that_are_no_array(command: Command, folder: Path) -> None:
    (folder.parent / "wrong.npy").write_text("not numpy")
    before = contents(folder)
    refused(command("simulate", folder, "--spikes", folder.parent / "wrong.npy", cwd=folder), "wrong.npy")
    untouched(folder, before)


def test_unknown_chip(command: Command, folder: Path) -> None:
    refused(command("compile", folder, "--chip", "loihi3", cwd=folder), "loihi3", "loihi1", "loihi2")


def test_no_python_for_lava(command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FILOPODIA_LAVA_PYTHON", "/nowhere/python3.10")
    before = contents(folder)
    refused(command("lava", folder, cwd=folder), "FILOPODIA_LAVA_PYTHON", "/nowhere/python3.10")
    untouched(folder, before)
