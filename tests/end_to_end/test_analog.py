"""Images that go in as values and not as spikes: the chain sends them as whole numbers where the chip can, else refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from filopodia.cli import main
from filopodia.golden import load_golden
from filopodia.run import RunFolder
from filopodia.stages.compile import analog


def test_analog_digits_go_through_the_chain(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from filopodia import hardware

    monkeypatch.chdir(tmp_path)
    shutil.copy(tiny_run.parent.parent / "tiny.toml", "tiny.toml")
    assert main(["train", "tiny.toml", "--data.encoding", "direct", "--out", "runs/analog"]) == 0
    for verb in ("export", "compile", "simulate", "verify", "estimate", "report"):
        assert main([verb, "runs/analog"]) == 0
    program = hardware.load_program(Path("runs/analog/program.npz"))
    assert program.inputs[0].message_bits == 8
    links = json.loads(Path("runs/analog/verify.json").read_text())["links"]
    assert all(layer["differing"] <= 0.1 * layer["compared"] for layer in links[1]["layers"])
    estimate = json.loads(Path("runs/analog/estimate.json").read_text())
    assert estimate["metrics"]["SynapticOperations"]["Effective_MACs"] > 0
    capsys.readouterr()
    assert main(["compile", "runs/analog", "--chip", "loihi1"]) == 2
    assert "code the input as spikes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("values", "largest"),
    [
        ([0.0, 1.0], None),
        ([0.0, 0.4], 0.5),
        ([0.25, 1.0], 1.0),
        ([-3.5, 1.0], 4.0),
        ([0.0, 200.0], 255.0),
        ([0.0, 300.0], 512.0),
    ],
)
def test_the_range_of_analog_inputs(tiny_run: Path, tmp_path: Path, values: list[float], largest: float | None) -> None:
    shutil.copy(tiny_run / "golden.npz", tmp_path / "golden.npz")
    shape = load_golden(tmp_path / "golden.npz").spikes.shape
    with np.load(tmp_path / "golden.npz") as file:
        entries = {name: file[name] for name in file.files}
    entries["input"] = np.resize(np.array(values, np.float32), shape)
    np.savez(tmp_path / "golden.npz", **entries)
    graded = analog(RunFolder(tmp_path))
    assert (None if graded is None else graded.largest) == largest
