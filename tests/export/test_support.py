"""docs/support.md is what trying every layer gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import export_support as script
import pytest

from filopodia.errors import LavaError
from filopodia.hardware.lava.python import find_python

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def table() -> dict[str, Any]:
    found: dict[str, Any] = script.table()
    return found


def written() -> dict[str, list[str]]:
    lines = (ROOT / "docs" / "support.md").read_text(encoding="utf8").splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    assert tuple(rows[0]) == script.COLUMNS
    return {row[0]: row[1:] for row in rows[2:]}


def test_the_support_table_is_true(table: dict[str, Any]) -> None:
    found = {name: row.cells for name, row in table.items()}
    assert found == {name: cells[:-1] for name, cells in written().items()}, "run benchmarks/export_support.py --save"
    assert not any(script.DIFFERS in cells for cells in found.values())


@pytest.mark.lava
def test_what_the_support_table_says_of_lava_is_true(table: dict[str, Any]) -> None:
    try:
        python = find_python()
    except LavaError as error:
        pytest.skip(str(error))
    if python is None:
        pytest.skip("no CPython 3.10 was found for Lava 0.10.0 (filopodia doctor says where it looks)")
    found = dict(zip(table, script.on_lava(list(table.values())), strict=True))
    assert found == {name: cells[-1] for name, cells in written().items()}
    assert list(found.values()).count("exact") > 35
