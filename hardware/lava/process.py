"""A worker in a process group of its own: followed line by line, ended with all its children, nothing left behind."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

SHARED_MEMORY = Path("/dev/shm")
TAIL_CHARACTERS = 4000


class OutOfTime(Exception):
    """The time limit passed before the worker's next event."""


class Worker:
    """A running worker; leaving the `with` block kills its whole process group and removes its shared memory.

    `prefix` starts the name of every shared memory segment the worker makes. Standard input stays open for as long as we
    live: the worker ends itself when it closes, so that even our own sudden death leaves nothing running.
    """

    def __init__(self, command: Sequence[str], folder: Path, prefix: str, environment: Mapping[str, str]) -> None:
        self.prefix = prefix
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 (closed by kill)
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            start_new_session=True,
        )
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._talk: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()

    def events(self, deadline: float) -> Iterator[dict[str, Any]]:
        """Events in order until the worker ends. Raises OutOfTime when `deadline` (time.monotonic) passes."""
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, min(0.5, deadline - time.monotonic())))
            except queue.Empty:
                if time.monotonic() >= deadline:
                    raise OutOfTime from None
                # A worker that was killed may leave children which hold the pipe open: it has no end of its own then.
                if self._process.poll() is not None:
                    return
                continue
            if line is None:
                return
            text = line.decode(errors="replace").rstrip()
            if text.startswith("@"):
                yield json.loads(text[1:])
            elif text:
                self._talk.append(text)

    def end(self) -> str:
        """How the worker ended, in words."""
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "it stopped answering"
        return f"it was ended by {signal.Signals(-code).name}" if code < 0 else f"it left with exit code {code}"

    def tail(self) -> str:
        """The last lines that the worker wrote outside the protocol, its errors last."""
        self._complaints.seek(0)
        lines = self._talk + self._complaints.read().decode(errors="replace").splitlines()
        return "\n".join(line for line in lines if line.strip()).strip()[-TAIL_CHARACTERS:]

    def kill(self) -> None:
        """End every process of the group, wait for them, remove their shared memory."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._reader.join(timeout=10)
        self._process.stdout.close()
        self._complaints.close()
        for segment in SHARED_MEMORY.glob(f"{self.prefix}*"):
            segment.unlink(missing_ok=True)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)
