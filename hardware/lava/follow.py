"""Following the worker: its events as progress, and its every way of ending badly as one clear message."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from filopodia.errors import LavaError
from filopodia.hardware.activity import Activity
from filopodia.hardware.lava.exchange import Run, collect
from filopodia.hardware.lava.process import OutOfTime, Worker
from filopodia.hardware.lava.python import LAVA_VERSION, VARIABLE, WAYS_OUT

PREPARING = "while uv prepared its environment"
LAVA = f"Lava {LAVA_VERSION}"


class LavaStopped(LavaError):
    """Lava ended before the last sample. `partial` holds the samples that were complete, None where there is none."""

    def __init__(self, found: str, partial: Activity | None, *, fix: str) -> None:
        super().__init__(found, where=LAVA, fix=fix)
        self.partial = partial


def follow(
    worker: Worker,
    runs: Sequence[Run],
    folder: Path,
    deadline: float,
    limit_s: float,
    progress: Callable[[str, int, int], None] | None,
) -> None:
    """Read events until the worker has finished all runs. Raises LavaError or LavaStopped, the worker being gone by then."""
    total = sum(run.samples for run in runs)
    before = done = 0
    stage = PREPARING

    def stopped(found: str, detail: str, fix: str) -> LavaError:
        worker.kill()
        partial = collect(runs[0], folder, done) if done and len(runs) == 1 else None
        kept = f"; the {done} complete samples are kept" if partial is not None else ""
        return LavaStopped(f"{found} {stage}{kept}{_indented(detail)}", partial, fix=fix)

    try:
        for event in worker.events(deadline):
            kind = event["event"]
            if kind == "finished":
                return
            if kind == "failed":
                raise stopped("it raised an exception", event["traceback"], WAYS_OUT)
            if kind == "died":
                raise stopped(*death(event))
            if kind == "no board":
                raise _no_board(event["python"])
            if kind == "ready":
                stage = "while it built the network"
            elif kind == "progress":
                done = event["samples"]
            elif kind == "done":
                before, done = before + done, 0
            if kind != "ready":
                stage = f"after {before + done} of {total} samples"
                if progress is not None:
                    progress("lava", before + done, total)
    except OutOfTime:
        raise stopped(f"it ran into its time limit of {limit_s:g} s", "", "raise time_limit_s, or run fewer samples") from None
    end, said = worker.end(), worker.tail()
    if stage == PREPARING:
        offline = f"connect to a package index once, or set {VARIABLE} to a Python 3.10 that has lava-nc {LAVA_VERSION}"
        raise LavaError(f"{end} {stage}{_indented(said)}", where=LAVA, fix=f"{offline}; {WAYS_OUT}")
    raise stopped(end, said, "run it again; with less memory in use if the system ended it")


def _no_board(python: str) -> LavaError:
    return LavaError(
        f"no Loihi 2 board can be reached: Intel's extension lava-loihi is not installed in {python}",
        where="Loihi2HwCfg",
        allowed="Loihi2SimCfg, which computes the same integers on this computer",
        fix=f"with a board, set {VARIABLE} to the Python that holds lava-nc and lava-loihi",
    )


def death(event: dict[str, Any]) -> tuple[str, str, str]:
    """What happened, its details and a way out, when one of Lava's own processes ended."""
    ends = event["ends"]
    if event["traceback"]:
        return "one of its processes raised an exception", event["traceback"], WAYS_OUT
    if "SIGBUS" in ends:
        return (
            "one of its processes was ended by SIGBUS: no room was left in /dev/shm",
            "",
            "remove what fills /dev/shm, or give the container more (docker run --shm-size=2g)",
        )
    if "SIGKILL" in ends:
        return (
            "one of its processes was ended by SIGKILL",
            "",
            "the system does this when memory runs out: record less, or run fewer samples at a time",
        )
    return f"one of its processes ended ({', '.join(ends)})", "", "run it again"


def _indented(text: str) -> str:
    return "".join(f"\n    {line}" for line in text.strip().splitlines())
