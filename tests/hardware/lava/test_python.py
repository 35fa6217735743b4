"""Finding a CPython 3.10: what counts, in which order, and what is said when a wish cannot be met."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from filopodia.errors import LavaError
from filopodia.hardware.lava import python


def interpreter(folder: Path, implementation: str = "CPython", version: str = "3.10.9", lava: str = "") -> Path:
    """A program that answers the probe like an interpreter."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "python3.10"
    path.write_text(f'#!/bin/sh\necho \'["{implementation}", "{version}", "{lava}"]\'\n')
    path.chmod(0o755)
    return path


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No Python 3.10 anywhere: not on PATH, not in pyenv, not in uv."""
    for name in (python.VARIABLE, "PYENV_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "/usr/bin:/bin" if not Path("/usr/bin/python3.10").exists() else str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "uv"))
    (tmp_path / "home").mkdir()
    return tmp_path


def test_none_found_leaves_the_download_to_uv(empty: Path) -> None:
    assert python.find_python() is None


def test_a_shim_that_does_not_start_is_passed_over(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shim = empty / "shims" / "python3.10"
    shim.parent.mkdir()
    shim.write_text("#!/bin/sh\necho 'pyenv: python3.10: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{shim.parent}{os.pathsep}{os.environ['PATH']}")
    old, new = (interpreter(empty / "home" / ".pyenv" / "versions" / f"3.10.{n}" / "bin", version=f"3.10.{n}") for n in (9, 13))
    found = python.find_python()
    assert found == python.LavaPython(new, "3.10.13", "pyenv")
    assert old != new


def test_path_comes_before_pyenv(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path = interpreter(empty / "bin")
    monkeypatch.setenv("PYENV_ROOT", str(empty / "pyenv"))
    interpreter(empty / "pyenv" / "versions" / "3.10.2" / "bin")
    found = python.find_python()
    assert found is not None
    assert found.origin == "pyenv"
    monkeypatch.setenv("PATH", f"{on_path.parent}{os.pathsep}{os.environ['PATH']}")
    assert python.find_python() == python.LavaPython(on_path, "3.10.9", "PATH")


@pytest.mark.parametrize(("implementation", "version"), [("PyPy", "3.10.9"), ("CPython", "3.11.4")])
def test_other_pythons_are_passed_over(empty: Path, monkeypatch: pytest.MonkeyPatch, implementation: str, version: str) -> None:
    monkeypatch.setenv("PATH", str(interpreter(empty / "bin", implementation, version).parent))
    assert python.find_python() is None


def test_the_variable_comes_first_and_lava_in_it_is_seen(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interpreter(empty / "bin")
    monkeypatch.setenv("PATH", str(empty / "bin"))
    monkeypatch.setenv(python.VARIABLE, str(interpreter(empty / "mine", lava="0.10.0")))
    found = python.find_python()
    assert found is not None
    assert found.origin == python.VARIABLE
    assert found.has_lava


@pytest.mark.parametrize(
    ("value", "said"),
    [(sys.executable, "is CPython 3."), ("/nonexistent/python", "does not start: No such file"), ("/", "does not start")],
)
def test_a_wish_that_cannot_be_met_is_an_error(monkeypatch: pytest.MonkeyPatch, value: str, said: str) -> None:
    monkeypatch.setenv(python.VARIABLE, value)
    with pytest.raises(LavaError, match="FILOPODIA_LAVA_PYTHON") as error:
        python.find_python()
    assert said in str(error.value)
    assert "unset FILOPODIA_LAVA_PYTHON" in str(error.value)
