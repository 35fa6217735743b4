"""`run_lava`: a program on real Lava 0.10.0, in a process that can be killed, giving the same `Activity` as the simulator."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, get_args

from filopodia.arguments import number
from filopodia.errors import InputError
from filopodia.hardware.activity import Activity
from filopodia.hardware.lava.exchange import Actors, RunCfg, check_board, check_shared_memory, collect, prepare, write
from filopodia.hardware.lava.follow import LavaStopped, follow
from filopodia.hardware.lava.process import Worker
from filopodia.hardware.lava.python import LavaPython, find_python, uv_binary
from filopodia.hardware.program import Program
from filopodia.hardware.simulator.settings import check_progress, checked_record

__all__ = ["LavaStopped", "run_lava", "run_many"]

Progress = Callable[[str, int, int], None]

FOLDER_PREFIX = "filopodia-"  # the names of shared memory begin with the folder's, and macOS takes no more than 31 letters
WORKER = Path(__file__).with_name("worker.py")


def run_lava(
    program: Program,
    spikes: Any,
    *,
    record: Collection[str] = ("spikes",),
    time_limit_s: float = 600.0,
    run_cfg: RunCfg = "Loihi2SimCfg",
    progress: Progress | None = None,
) -> Activity:
    """Run `program` on `spikes` [T, N, *input_shape] (or a mapping from input name to such arrays) with real Lava.

    All samples stream back to back through one Lava run on a Python 3.10 of its own (`hardware.lava.python` says which). The
    result is in sample time and holds what the simulator's would: spikes of the inputs and of every layer, u and v, as named
    in `record`, and the rates of the outputs always. `progress` is called with ("lava", samples done, samples in all).

    `time_limit_s` bounds the whole call, the first download of Lava (about 80 MB) included. `run_cfg="Loihi2HwCfg"` runs on a
    Loihi 2 board, for those who have one and Intel's lava-loihi beside lava-nc in the Python that FILOPODIA_LAVA_PYTHON names;
    it brings back spikes only. Without a board it says so.

    Raises InputError for spikes or a program that do not fit, UnsupportedError for what Lava cannot express exactly, LavaError
    where Lava cannot be started, and LavaStopped, which holds the complete samples, where it fails, dies or runs out of time.
    No process, shared memory or file is left behind in any case.
    """
    return run_many([(program, spikes)], record=record, time_limit_s=time_limit_s, run_cfg=run_cfg, progress=progress)[0]


def run_many(
    cases: Sequence[tuple[Program, Any]],
    *,
    record: Collection[str] = ("spikes",),
    time_limit_s: float = 600.0,
    run_cfg: RunCfg = "Loihi2SimCfg",
    actors: Actors = "processes",
    progress: Progress | None = None,
) -> list[Activity]:
    """`run_lava` for many (program, spikes) pairs with one start of Lava; progress counts samples over all of them.

    Lava runs every group of neurons and every connection as an operating system process. `actors="threads"` runs them as
    threads of one process instead, with Lava's compiler, runtime, channels and models unchanged: three times as fast for
    many small programs.
    """
    deadline = time.monotonic() + number(time_limit_s, "run_lava: time_limit_s", above=0.0, allowed="seconds, more than 0")
    kept = checked_record(record, "run_lava")
    check_progress(progress, "run_lava")
    if run_cfg not in get_args(RunCfg):
        raise InputError(f"run_cfg {run_cfg!r}", where="run_lava", allowed=" or ".join(get_args(RunCfg)))
    runs = [prepare(program, spikes, kept, f"job{k}") for k, (program, spikes) in enumerate(cases)]
    if run_cfg == "Loihi2HwCfg":
        check_board(runs)
    check_shared_memory(runs)
    python = find_python()
    with tempfile.TemporaryDirectory(prefix=FOLDER_PREFIX) as name:
        folder = Path(name)
        prefix = f"{folder.name}-"
        write(runs, folder, prefix, run_cfg, actors)
        with Worker(_command(python, folder), folder, prefix, _environment()) as worker:
            follow(worker, runs, folder, deadline, time_limit_s, progress)
        return [collect(run, folder, run.samples) for run in runs]


def _command(python: LavaPython | None, folder: Path) -> list[str]:
    if python is not None and python.has_lava:  # uv would not see what else is installed there, such as lava-loihi
        return [str(python.path), str(WORKER), str(folder)]
    wanted = str(python.path) if python is not None else "cpython@3.10"
    return [str(uv_binary()), "run", "--no-project", "--python", wanted, "--script", str(WORKER), str(folder)]


def _environment() -> dict[str, str]:
    """Ours without what would lead another Python astray or slow it down; Lava's many processes get one thread each."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON") and name != "VIRTUAL_ENV"}
    return kept | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
