"""The examples are what users copy: each runs, in order, and the configurations load."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from filopodia.config import load_config

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("[0-9]*.py"))


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each script printed, run one after the other in one folder: they hand files on."""
    home = tmp_path_factory.mktemp("examples")
    printed = {}
    for script in SCRIPTS:
        short = ["2"] if script.name.startswith("01") else []  # epochs
        line = [sys.executable, "-W", "error::DeprecationWarning:filopodia", str(script), *short]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(line, capture_output=True, text=True, check=False, cwd=home, timeout=300, env=environment)
        assert done.returncode == 0, f"{script.name}\n{done.stdout}{done.stderr}"
        printed[script.name] = done.stdout
    return printed


def test_there_are_five() -> None:
    assert [script.name[:2] for script in SCRIPTS] == ["01", "02", "03", "04", "05"]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("01_train_and_prune.py", ("80.0% of the weights zero", "test accuracy", "saved")),
        ("02_export.py", ("example.nir", "example.onnx")),
        ("03_compile_and_simulate.py", ("core 0", "right in integers")),
        ("04_energy.py", ("J per sample", "synops", "ANN")),
        ("05_bring_your_own_nir.py", ("cores of loihi1", "J per sample")),
    ],
)
def test_example_prints(outputs: dict[str, str], script: str, words: tuple[str, ...]) -> None:
    for word in words:
        assert word in outputs[script]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_configuration_loads(path: Path) -> None:
    assert load_config(path).name == path.stem
