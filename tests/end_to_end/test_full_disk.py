"""A disk that is full, or a folder that cannot be written: one line that says which file, exit code 2, and nothing lost.

The limit on a file's size that the system sets for one process makes it real: the write that crosses it fails.
"""

from __future__ import annotations

import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from filopodia.cli import main
from filopodia.errors import FileError
from filopodia.files import written_whole


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """No file may grow past `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    ("verb", "name"),
    [
        ("train", "checkpoint.safetensors"),
        ("export", "model.nir"),
        ("compile", "program.npz"),
        ("simulate", "activity.npz"),
        ("verify", "verify.json"),
        ("estimate", "estimate.json"),
        ("report", "report.json"),
    ],
)
def test_every_step_says_which_file_and_keeps_the_old_one(
    verb: str, name: str, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns("twin"))
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path)
    with at_most(600):
        assert main([verb, "run", "--force"]) == 2
    told = capsys.readouterr().err
    assert f"filopodia {verb}: " in told
    assert f"{name}: cannot be written" in told or verb == "train"
    assert "fix: make room" in told
    after = contents(tmp_path)
    if verb == "train":  # begun anew, as was asked: its own half-way files are gone, its result is not
        gone = {"run/checkpoint.safetensors", "run/telemetry.jsonl", "run/quantized.safetensors"}
        before, after = ({key: value for key, value in of.items() if key not in gone} for of in (before, after))
    assert after == before


def test_a_folder_that_is_a_file_or_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("mine")
    for out in ("file", "file/run", "/proc/run"):
        assert main(["train", "--out", out]) == 2
        assert out in capsys.readouterr().err
    assert Path("file").read_text() == "mine"


@pytest.mark.parametrize("kind", ["text", "npz"])
def test_a_failed_write_leaves_nothing_beside(kind: str, tmp_path: Path) -> None:
    target = tmp_path / f"a.{kind}"
    target.write_bytes(b"old")
    write: dict[str, Callable[[Path], object]] = {
        "text": lambda path: path.write_text("x" * 5000),
        "npz": lambda path: np.savez(path, x=np.zeros(5000)),
    }
    with at_most(600), pytest.raises(FileError, match="cannot be written"), written_whole(target) as beside:
        write[kind](beside)
    assert contents(tmp_path) == {target.name: b"old"}
    with pytest.raises(FileError, match="cannot be written"), written_whole(tmp_path / "no" / "a.txt") as beside:
        beside.write_text("x")
