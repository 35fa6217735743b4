"""Find the Python that real Lava needs: CPython 3.10, nothing older, nothing newer.

Lava 0.10.0 is its last release and runs on Python 3.10 alone, while this library needs 3.11. So Lava runs in a process of its
own, on a Python looked for in this order:

1. `FILOPODIA_LAVA_PYTHON`, a path to an interpreter (one that already holds lava-nc 0.10.0 is used as it is);
2. `python3.10` on PATH, which must really start (a pyenv shim may not);
3. pyenv's versions folders (`$PYENV_ROOT/versions`, `~/.pyenv/versions`);
4. Pythons that uv has installed;
5. none of these: uv downloads one when Lava is first used.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filopodia.errors import LavaError

VARIABLE = "FILOPODIA_LAVA_PYTHON"
LAVA_VERSION = "0.10.0"
PROBE_LIMIT_S = 30.0

WAYS_OUT = (
    f"let uv install one (`uv python install 3.10`), or set {VARIABLE} to a CPython 3.10; "
    "without Lava the simulator gives the same integers"
)

_PROBE = """
import json, platform
from importlib.metadata import PackageNotFoundError, version
try:
    lava = version("lava-nc")
except PackageNotFoundError:
    lava = ""
print(json.dumps([platform.python_implementation(), platform.python_version(), lava]))
"""


@dataclass(frozen=True)
class LavaPython:
    """A CPython 3.10: where it is, how it was found, and the lava-nc installed in it ("" when uv has to bring it)."""

    path: Path
    version: str
    origin: str
    lava: str = ""

    @property
    def has_lava(self) -> bool:
        """Whether the worker can run on it without uv."""
        return self.lava == LAVA_VERSION


def find_python() -> LavaPython | None:
    """The first CPython 3.10 that really starts; None when uv would have to download one.

    Raises LavaError when FILOPODIA_LAVA_PYTHON is set to something else than a CPython 3.10: a wish is not passed over.
    """
    wished = os.environ.get(VARIABLE)
    if wished:
        return _wished(wished)
    for path, origin in _candidates():
        found = probe(path, origin)
        if found is not None:
            return found
    return None


def probe(path: Path, origin: str) -> LavaPython | None:
    """The interpreter at `path` if it starts and is a CPython 3.10, else None."""
    answer = _ask(path)
    if isinstance(answer, str) or answer[0] != "CPython" or not answer[1].startswith("3.10."):
        return None
    return LavaPython(path, answer[1], origin, answer[2])


def uv_binary() -> Path:
    """The uv program that came with this installation, else the one on PATH. Raises LavaError where there is none."""
    try:
        import uv

        return Path(uv.find_uv_bin())
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
    if found is None:
        raise LavaError("uv was not found; it prepares the environment that Lava runs in", fix="pip install uv")
    return Path(found)


def _wished(value: str) -> LavaPython:
    path = Path(value).expanduser()
    answer = _ask(path)
    if isinstance(answer, str):
        found = f"{value} does not start: {answer}"
    elif answer[0] != "CPython" or not answer[1].startswith("3.10."):
        found = f"{value} is {answer[0]} {answer[1]}"
    else:
        return LavaPython(path, answer[1], VARIABLE, answer[2])
    raise LavaError(found, where=VARIABLE, allowed="the path of a CPython 3.10", fix=f"unset {VARIABLE} to search for one")


def _candidates() -> Iterator[tuple[Path, str]]:
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        path = Path(folder or ".") / "python3.10"
        if path.is_file() and os.access(path, os.X_OK):
            yield path, "PATH"
    roots = [os.environ.get("PYENV_ROOT", ""), str(Path.home() / ".pyenv")]
    for root in dict.fromkeys(root for root in roots if root):
        for version in sorted(Path(root, "versions").glob("3.10*"), key=_release, reverse=True):
            if (version / "bin" / "python3.10").is_file():
                yield version / "bin" / "python3.10", "pyenv"
    managed = _managed_by_uv()
    if managed is not None:
        yield managed, "uv"


def _managed_by_uv() -> Path | None:
    command = [str(uv_binary()), "python", "find", "--system", "--managed-python", "--no-python-downloads", "3.10"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_LIMIT_S, check=False, cwd=Path.home())
    except (OSError, subprocess.TimeoutExpired):
        return None
    return Path(done.stdout.strip()) if done.returncode == 0 and done.stdout.strip() else None


def _ask(path: Path) -> tuple[str, str, str] | str:
    """(implementation, version, lava-nc version) of an interpreter, or why it gave no answer."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    try:
        done = subprocess.run(
            [str(path), "-c", _PROBE], capture_output=True, text=True, timeout=PROBE_LIMIT_S, check=False, env=environment
        )
    except OSError as error:
        return error.strerror or str(error)
    except subprocess.TimeoutExpired:
        return f"no answer within {PROBE_LIMIT_S:.0f} s"
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        return said[-1] if said else f"exit code {done.returncode}"
    try:
        implementation, version, lava = json.loads(done.stdout)
    except ValueError:
        return "it is no Python 3"
    return implementation, version, lava


def _release(folder: Path) -> int:
    """The last number of a pyenv folder such as 3.10.13, 0 where there is none."""
    last = folder.name.rsplit(".", 1)[-1]
    return int(last) if last.isdigit() else 0
