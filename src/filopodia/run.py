"""The run folder: one file per arrow of the chain, named here and nowhere else, each written beside and then renamed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from filopodia.errors import FileError
from filopodia.files import written_whole

# What each file is, and the verb that writes it: for messages that say which step is missing.
FILES = {
    "config.toml": "train",
    "weights.safetensors": "train",
    "telemetry.jsonl": "train",
    "model.nir": "export",
    "model.onnx": "export",
    "golden.npz": "export",
    "calibration.npz": "export",
    "program.npz": "compile",
    "activity.npz": "simulate",
    "lava.npz": "lava",
    "verify.json": "verify",
    "ann.json": "run",
    "estimate.json": "estimate",
    "report.json": "report",
    "report.html": "report",
}


@dataclass(frozen=True)
class RunFolder:
    """A folder that holds one network from its settings to its report. `twin` is the unpruned network's own run folder."""

    path: Path

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @property
    def twin(self) -> RunFolder:
        return RunFolder(self.path / "twin")

    def require(self, name: str) -> Path:
        """The path of a file that an earlier step must have written; raises FileError naming that step."""
        path = self.path / name
        if not path.is_file():
            fix = f"run `filopodia {FILES.get(name, 'run')} {self.path}` first"
            if name == "golden.npz" and (self.path / "model.nir").is_file():  # a network that was not exported here
                fix = f"give spikes [T, N, …] to run it on: `filopodia compile {self.path} --spikes spikes.npy`"
            raise FileError(f"no {name} here", where=str(self.path), fix=fix)
        return path

    def present(self) -> tuple[str, ...]:
        """The chain's files that are here, in the chain's order."""
        return tuple(name for name in FILES if (self.path / name).is_file())


def open_run(path: Path, *, create: bool = False) -> RunFolder:
    """The run folder at `path`; with `create` it is made, otherwise FileError unless it is a folder."""
    if path.is_file():
        raise FileError("a file where a run folder is wanted", where=str(path), fix="give the folder that holds the run")
    if create:
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"cannot be created ({error.strerror})", where=str(path)) from None
    elif not path.is_dir():
        raise FileError("no such run folder", where=str(path), fix="`filopodia run` or `filopodia train` makes one")
    return RunFolder(path)


def write_text(path: Path, text: str) -> None:
    """Write text whole or not at all."""
    with written_whole(path) as beside:
        beside.write_text(text, encoding="utf-8")


def fingerprint(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
