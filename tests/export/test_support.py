"""docs/support.md is what trying every layer gives."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "export_support.py"


@pytest.mark.skipif(not SCRIPT.exists(), reason="the support table is made from the repository's benchmarks folder")
def test_the_support_table_is_true() -> None:
    spec = importlib.util.spec_from_file_location("export_support", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    written = (ROOT / "docs" / "support.md").read_text(encoding="utf8").splitlines()
    for line in script.page().splitlines():
        assert line in written, "run python benchmarks/export_support.py --save"
        assert "DIFFERS" not in line
