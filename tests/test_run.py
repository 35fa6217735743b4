"""Run folders: files whole or absent, steps reused while nothing they read has changed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from filopodia.config import Config
from filopodia.errors import FileError
from filopodia.files import written_whole
from filopodia.provenance import load_provenance
from filopodia.run import RunFolder, fingerprint, open_run, write_text
from filopodia.stage import Progress, Stage, StageSkipped, execute


def test_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), written_whole(path) as beside:
        beside.write_bytes(b"half" * (1 // 0))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_missing_file_names_the_step_that_writes_it(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="filopodia compile"):
        RunFolder(tmp_path).require("program.npz")


def test_a_network_from_elsewhere_without_spikes_is_told_how_to_get_some(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="filopodia export"):
        RunFolder(tmp_path).require("golden.npz")
    (tmp_path / "model.nir").write_bytes(b"")
    with pytest.raises(FileError, match="--spikes"):
        RunFolder(tmp_path).require("golden.npz")


def test_a_file_is_no_run_folder(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(FileError, match="a file where a run folder is wanted"):
        open_run(tmp_path / "x", create=True)
    with pytest.raises(FileError, match="no such run folder"):
        open_run(tmp_path / "y")


def copying(calls: list[str], skip: bool = False) -> Stage:
    """A stage that copies in.txt to out.txt and counts how often it works."""

    def work(folder: RunFolder, config: Config, progress: Progress | None) -> str:
        calls.append("worked")
        if skip:
            raise StageSkipped("nothing to run it on")
        write_text(folder / "out.txt", (folder / "in.txt").read_text())
        return "copied"

    return Stage("copy", reads=("in.txt",), writes=("out.txt",), settings=lambda config: {"name": config.name}, work=work)


def test_a_step_is_reused_until_something_changes(tmp_path: Path) -> None:
    calls: list[str] = []
    stage, folder, config = copying(calls), RunFolder(tmp_path), Config()
    (tmp_path / "in.txt").write_text("1")
    assert execute(stage, folder, config).how == "done"
    again = execute(stage, folder, config)
    assert (again.how, again.summary) == ("reused", "copied")
    assert len(calls) == 1

    (tmp_path / "in.txt").write_text("2")  # an input changed
    assert execute(stage, folder, config).how == "done"
    (tmp_path / "out.txt").write_text("spoilt")  # the output changed
    assert execute(stage, folder, config).how == "done"
    assert (tmp_path / "out.txt").read_text() == "2"
    (tmp_path / "out.txt").unlink()  # the output is gone
    assert execute(stage, folder, config).how == "done"
    other = msgspec.structs.replace(config, name="other")  # a setting changed
    assert execute(stage, folder, other).how == "done"
    assert execute(stage, folder, other, force=True).how == "done"
    assert len(calls) == 6


def test_a_skipped_step_says_why_and_is_tried_again(tmp_path: Path) -> None:
    calls: list[str] = []
    folder = RunFolder(tmp_path)
    (tmp_path / "in.txt").write_text("1")
    outcome = execute(copying(calls, skip=True), folder, Config())
    assert (outcome.how, outcome.summary) == ("skipped", "nothing to run it on")
    assert load_provenance(folder).stages["copy"].skipped == "nothing to run it on"
    assert execute(copying(calls), folder, Config()).how == "done"


def test_provenance_says_what_made_a_file(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("1")
    folder = RunFolder(tmp_path)
    execute(copying([]), folder, Config())
    provenance = load_provenance(folder)
    record = provenance.stages["copy"]
    assert record.inputs == {"in.txt": fingerprint(tmp_path / "in.txt")}
    assert record.outputs == {"out.txt": fingerprint(tmp_path / "out.txt")}
    assert record.settings == {"name": "digits"}
    assert provenance.versions["numpy"]
    assert provenance.machine["cores"]


def test_broken_provenance_is_named(tmp_path: Path) -> None:
    (tmp_path / "provenance.json").write_text("{")
    with pytest.raises(FileError, match="not a provenance file"):
        load_provenance(RunFolder(tmp_path))
