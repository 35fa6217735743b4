"""The folder boundaries: what may import what, and what an import costs."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_hardware_imports_no_torch() -> None:
    code = "import sys, filopodia.hardware; print(sorted({'torch', 'spikingjelly', 'onnx'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout.strip() == "[]"


@pytest.mark.repository
@pytest.mark.parametrize("folder", ["prune", "export", "hardware"])
def test_import_from_the_root_is_refused_with_the_right_import(folder: str) -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {folder}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 1
    assert f"from filopodia import {folder}" in done.stderr


@pytest.mark.repository
def test_every_package_is_in_the_wheel_map() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found = {"filopodia"}
    for folder in ("prune", "export", "hardware"):
        for init in (ROOT / folder).rglob("__init__.py"):
            found.add("filopodia." + ".".join(init.parent.relative_to(ROOT).parts))
    for folder in (path for path in (ROOT / "src/filopodia").iterdir() if not path.is_symlink()):
        if (folder / "__init__.py").is_file():
            found.add(f"filopodia.{folder.name}")
    assert found == set(settings["tool"]["setuptools"]["packages"])
