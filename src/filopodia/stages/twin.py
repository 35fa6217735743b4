"""The dense twin, trained beside the pruned network in a process of its own: one small network leaves a core idle."""

from __future__ import annotations

import subprocess
import sys
import time
from types import TracebackType

from filopodia.config import Config, save_config
from filopodia.hardware.simulator.workers import processors
from filopodia.run import RunFolder, open_run
from filopodia.stage import Progress, up_to_date
from filopodia.stages.chain import twin_of, wants_twin
from filopodia.stages.train import TRAIN

POLL_S = 0.2


class TwinTraining:
    """A context in which the twin trains in the background, if it has to be trained and there is a core for it.

    Leaving the context early ends the process; its checkpoint stays, and the next run goes on from it.
    """

    def __init__(self, folder: RunFolder, config: Config, *, force: bool = False) -> None:
        self.folder, self.config, self.force = folder, twin_of(config), force
        self.wanted = wants_twin(config)
        self.process: subprocess.Popen[bytes] | None = None
        self.said = folder.twin / "training.log"

    def __enter__(self) -> TwinTraining:
        if self.wanted:
            twin = open_run(self.folder.twin.path, create=True)
            save_config(twin, self.config)
            if processors() > 1 and (self.force or not up_to_date(TRAIN, twin, self.config)):
                command = [sys.executable, "-m", "filopodia", "train", str(twin.path), *(["--force"] if self.force else [])]
                with self.said.open("wb") as said:
                    self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        return self

    def wait(self, progress: Progress | None) -> bool:
        """Wait for the background training, if there is one; whether it ended well. If not, its step is done again in sight.

        `failure` then says how it ended.
        """
        if self.process is None:
            return False
        epochs = self.config.train.epochs + self.config.train.quantize_epochs
        while self.process.poll() is None:
            if progress is not None:
                progress(f"epoch {self.epochs_done()}", self.epochs_done(), epochs)
            time.sleep(POLL_S)
        return self.process.returncode == 0

    @property
    def failure(self) -> str:
        """How the background training ended, when it did not end well; "" otherwise."""
        if self.process is None or not self.process.returncode:
            return ""
        lines = self.said.read_text(errors="replace").strip().splitlines()
        return f"exit code {self.process.returncode}{': ' + lines[-1] if lines else ''}"

    def epochs_done(self) -> int:
        """Lines of the twin's telemetry."""
        path = self.folder.twin / "telemetry.jsonl"
        return path.read_bytes().count(b"\n") if path.is_file() else 0

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait()
        self.said.unlink(missing_ok=True)
