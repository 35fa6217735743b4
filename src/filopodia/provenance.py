"""Where every file of a run came from: settings, inputs by fingerprint, versions, machine, git revision, times, the command."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from filopodia import __version__
from filopodia.errors import FileError
from filopodia.hardware.simulator.workers import processors
from filopodia.run import RunFolder, write_text

VERSIONED = ("filopodia", "torch", "spikingjelly", "nir", "onnx", "onnxruntime", "numpy", "numba", "scipy", "scikit-learn")


class StageRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One finished step: `settings` is all of the configuration it depends on; files by name with their SHA-256.

    `summary` is what came of it in one line; `skipped` the reason why a step that may be missing (real Lava) was not done.
    """

    command: str
    started: str
    seconds: float
    settings: dict[str, Any]
    inputs: dict[str, str]
    outputs: dict[str, str]
    filopodia: str
    summary: str = ""
    skipped: str = ""


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """What made a run folder. `stages` are in the order in which they were first done."""

    format: str = "filopodia provenance"
    version: int = 1
    python: str = ""
    machine: dict[str, str] = {}
    versions: dict[str, str] = {}
    git: str = ""
    stages: dict[str, StageRecord] = {}

    def with_stage(self, name: str, record: StageRecord) -> Provenance:
        """A copy in which `record` is the last word on `name`, and versions and machine are those of now."""
        return Provenance(
            python=platform.python_version(),
            machine=machine(),
            versions=versions(),
            git=git_revision(Path.cwd()),
            stages={**self.stages, name: record},
        )


def load_provenance(folder: RunFolder) -> Provenance:
    """The provenance of a run folder; empty where there is none yet. Raises FileError when it cannot be read."""
    path = folder / "provenance.json"
    if not path.is_file():
        return Provenance()
    try:
        return msgspec.json.decode(path.read_bytes(), type=Provenance)
    except msgspec.MsgspecError as error:
        raise FileError(
            f"not a provenance file ({error})", where=str(path), fix="delete it, and the steps are redone"
        ) from None


def save_provenance(folder: RunFolder, provenance: Provenance) -> None:
    """Write provenance.json, whole or not at all."""
    write_text(folder / "provenance.json", msgspec.json.format(msgspec.json.encode(provenance), indent=1).decode())


def versions() -> dict[str, str]:
    """Installed versions of what decides the numbers."""
    found = {"filopodia": __version__}
    for name in VERSIONED[1:]:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def machine() -> dict[str, str]:
    """Processor, cores this process may use, and operating system."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return {"cpu": model, "cores": str(processors()), "system": f"{platform.system()} {platform.machine()}"}


def git_revision(folder: Path) -> str:
    """The revision of the repository around `folder`, with "+" when it has uncommitted changes; "" outside of one."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"],
            cwd=folder, capture_output=True, text=True, timeout=5, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def command_line() -> str:
    """The command of this process, as a user would type it."""
    name = Path(sys.argv[0]).name
    program = "filopodia" if name in {"__main__.py", "filopodia"} else f"python {name}"
    return " ".join([program, *(shlex.quote(word) for word in sys.argv[1:])])


def now() -> str:
    """The time, ISO 8601 in UTC to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
