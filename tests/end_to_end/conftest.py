"""One tiny run of the whole chain, made once, and read by every test here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

TINY = """\
name = "tiny"

[train]
epochs = 2
threads = 1

[train.data]
steps = 4

[train.net]
channels = [4, 8]
pool = [2, 2]
hidden = [16]
votes = 1

[train.prune]
target_sparsity = 0.5

[export]
samples = 24

[lava]
use = "never"
"""

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def command() -> Command:
    """Run `filopodia WORDS` in a process of its own, in `cwd`."""

    def run(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "filopodia", *map(str, words)]
        return subprocess.run(line, capture_output=True, text=True, check=False, cwd=cwd, timeout=300)

    return run


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory, command: Command) -> Path:
    """A finished run folder of a tiny network. Read it, copy it; do not change it."""
    home = tmp_path_factory.mktemp("tiny")
    (home / "tiny.toml").write_text(TINY)
    done = command("run", "tiny.toml", cwd=home)
    assert done.returncode == 0, done.stdout + done.stderr
    (home / "printed.txt").write_text(done.stdout)
    return home / "runs" / "tiny"
