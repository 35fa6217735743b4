"""The exchange folder: what the worker reads and fills, and the Activity made of it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from filopodia.errors import LavaError, UnsupportedError
from filopodia.hardware.activity import Activity
from filopodia.hardware.lava.plan import PLAN_VERSION, Job, plan_job
from filopodia.hardware.lava.process import SHARED_MEMORY
from filopodia.hardware.lava.python import LAVA_VERSION
from filopodia.hardware.program import Program
from filopodia.hardware.simulator.inputs import messages

RunCfg = Literal["Loihi2SimCfg", "Loihi2HwCfg"]
Actors = Literal["processes", "threads"]

PAGE = 4096


@dataclass(frozen=True, eq=False)
class Run:
    """One program on its way through the worker: what goes in, what is recorded, and the plan between them."""

    program: Program
    given: dict[str, NDArray[Any]]
    record: frozenset[str]
    job: Job
    steps: int
    samples: int


def prepare(program: Program, spikes: Any, record: frozenset[str], tag: str) -> Run:
    """Check a program and its messages and plan its run. Raises InputError and UnsupportedError."""
    given = messages(program.inputs, spikes)
    steps, samples = next(iter(given.values())).shape[:2]
    read_out = set(program.outputs)
    # of outputs whose spikes are not asked for, Lava's side keeps the sums over time alone
    summed = record | {"rates"} if "spikes" not in record else record
    kept = {layer.name: sorted(summed if layer.name in read_out else record) for layer in program.layers}
    job = plan_job(program, steps=steps, samples=samples, record=kept, tag=tag)
    return Run(program, given, record, job, steps, samples)


def write(runs: Sequence[Run], folder: Path, prefix: str, run_cfg: RunCfg, actors: Actors) -> None:
    """Lay out the folder: the plan, its arrays, the inputs, and room for what is recorded. Raises LavaError when it is full."""
    jobs = [run.job.plan for run in runs]
    plan = {
        "version": PLAN_VERSION,
        "shared_memory_prefix": prefix,
        "run_cfg": run_cfg,
        "actors": actors,
        "jobs": jobs,
    }
    try:
        (folder / "plan.json").write_text(json.dumps(plan))
        arrays: dict[str, Any] = {key: array for run in runs for key, array in run.job.arrays.items()}
        np.savez(folder / "arrays.npz", **arrays)
        for run in runs:
            for feed in run.job.plan["inputs"]:
                rows = run.given[feed["name"]].swapaxes(0, 1).reshape(run.samples * run.steps, -1)
                np.ascontiguousarray(rows, feed["dtype"]).tofile(folder / feed["file"])
            for layer in run.job.plan["layers"]:
                for state, file in layer["record"].items():
                    size = (
                        run.samples * layer["size"] * (4 if state == "rates" else run.steps * (1 if state == "spikes" else 4))
                    )
                    with (folder / file).open("wb") as room:
                        if sys.platform == "linux":
                            os.posix_fallocate(room.fileno(), 0, size)  # else a full disk would kill Lava in the middle
                        else:
                            room.truncate(size)
    except OSError as error:
        raise LavaError(
            f"no room for the recordings of this run: {error.strerror}",
            where=str(folder.parent),
            fix="free some space, set TMPDIR to a larger disk, record less, or run fewer samples at a time",
        ) from None


def collect(run: Run, folder: Path, samples: int) -> Activity:
    """The first `samples` samples of a run, read back from its recordings."""
    shapes = {name: (run.steps, samples, *node.shape) for name, node in run.program.nodes.items()}
    recorded: dict[str, dict[str, NDArray[Any]]] = {"spikes": {}, "u": {}, "v": {}}
    rates: dict[str, NDArray[np.int32]] = {}
    for layer in run.job.plan["layers"]:
        for state, file in layer["record"].items():
            if state == "rates":
                sums = np.fromfile(folder / file, np.int32, count=samples * layer["size"])
                rates[layer["name"]] = sums.reshape(shapes[layer["name"]][1:])
                continue
            dtype = np.bool_ if state == "spikes" else np.int32
            rows: NDArray[Any] = np.fromfile(folder / file, dtype, count=samples * run.steps * layer["size"])
            by_sample = rows.reshape(samples, run.steps, layer["size"]).swapaxes(0, 1)
            recorded[state][layer["name"]] = np.ascontiguousarray(by_sample).reshape(shapes[layer["name"]])
    sent = {name: array[:, :samples] for name, array in run.given.items()} | recorded["spikes"]
    return Activity(
        backend=f"lava {LAVA_VERSION}",
        steps=run.steps,
        samples=samples,
        spikes=sent if "spikes" in run.record else {},
        rates={name: rates[name] if name in rates else sent[name].sum(axis=0, dtype=np.int32) for name in run.program.outputs},
        states={state: recorded[state] for state in ("u", "v") if state in run.record},
    )


def check_shared_memory(runs: Sequence[Run]) -> None:
    """Raise LavaError where /dev/shm is too full: Lava's channels live there, and lack of room kills its processes."""
    if not SHARED_MEMORY.is_dir():
        return
    need = max((_shared_memory(run) for run in runs), default=0)
    free = shutil.disk_usage(SHARED_MEMORY).free
    if need > free:
        raise LavaError(
            f"the channels of this program need {need / 2**20:.1f} MiB of shared memory, {free / 2**20:.1f} MiB are free",
            where=str(SHARED_MEMORY),
            fix="remove what fills it, or give the container more (docker run --shm-size=2g)",
        )


def check_board(runs: Sequence[Run]) -> None:
    """Raise UnsupportedError for what a board cannot do: bring back u and v, or be silent between samples."""
    for run in runs:
        if run.record - {"spikes"}:
            raise UnsupportedError("u and v are not read back from a board", where="Loihi2HwCfg", fix='record=("spikes",)')
        if run.job.gap:
            raise UnsupportedError(
                "messages that arrive in a later step (recurrent or delayed ones) would run from one sample into the next",
                where="Loihi2HwCfg",
                allowed="on a board, feed-forward programs with paths of equal length",
                fix='run_cfg="Loihi2SimCfg", which keeps samples apart',
            )


def _shared_memory(run: Run) -> int:
    """Bytes of Lava's channels: one message at each end of every connection, and a page for each line of control."""
    plan = run.job.plan
    ends = [run.program.nodes[connection[end]].size for connection in plan["connections"] for end in ("source", "target")]
    processes = len(plan["inputs"]) + len(plan["layers"]) + len(plan["connections"])
    return sum(-(-4 * size // PAGE) * PAGE for size in ends) + PAGE * (2 * processes + 2)
