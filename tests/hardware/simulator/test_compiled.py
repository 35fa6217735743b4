"""Compiling kernels where nothing can be cached, and the cache across processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import pytest

from filopodia.hardware.simulator import compiled

KERNEL = """
from filopodia.hardware.simulator.compiled import kernel

def _double(x):
    return 2 * x

double = kernel(_double)
print(double(21), sum(double.stats.cache_hits.values()))
"""


def test_where_nothing_can_be_cached_kernels_still_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    real = numba.njit

    def refuses(*args: Any, **options: Any) -> Any:
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available for file")
        return real(*args, **options)

    monkeypatch.setattr(numba, "njit", refuses)
    assert compiled.kernel(lambda x: 2 * x)(21) == 42


def test_processes_share_the_cache_and_may_start_together(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(KERNEL)
    settings = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    together = [
        subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=settings) for _ in range(2)
    ]
    assert [process.communicate()[0].split()[0] for process in together] == ["42", "42"]
    later = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True, env=settings)
    assert later.stdout.split() == ["42", "1"]


def test_the_simulator_is_imported_without_numba() -> None:
    code = "import sys, filopodia.hardware; print({'numba', 'scipy', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
