"""`filopodia bench`: how fast the integer simulator runs a program here. Median of several runs, after one to warm up."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import tyro

from filopodia.cli import screen
from filopodia.cli.arguments import parse
from filopodia.cli.places import DEFAULT, place
from filopodia.cli.steps import print_json
from filopodia.golden import load_golden
from filopodia.provenance import machine, versions
from filopodia.report.wording import count, si


class BenchConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What to time."""

    samples: Annotated[int, msgspec.Meta(ge=0)] = 0
    """How many golden samples per run; 0 takes all."""
    repeats: Annotated[int, msgspec.Meta(ge=1)] = 5
    """How many timed runs."""
    threads: Annotated[int, msgspec.Meta(ge=1)] = 1
    """CPU threads."""


class Arguments(msgspec.Struct, frozen=True, kw_only=True):
    path: tyro.conf.Positional[Path] = DEFAULT
    """A run folder."""
    json: bool = False
    """Print JSON and nothing else."""
    bench: Annotated[BenchConfig, tyro.conf.arg(name="")] = BenchConfig()


def main(words: Sequence[str]) -> None:
    from filopodia import hardware

    arguments = parse("bench", Arguments, words)
    settings = arguments.bench
    folder = place(arguments.path)
    program = hardware.load_program(folder.require("program.npz"))
    golden = load_golden(folder.require("golden.npz"), settings.samples)
    times = []
    for _ in range(settings.repeats + 1):
        began = time.perf_counter()
        activity = hardware.simulate(program, golden.spikes, record=(), threads=settings.threads)
        times.append(time.perf_counter() - began)
    seconds = statistics.median(times[1:])
    synops = sum(int(counts.synops.sum()) for counts in activity.counts.values())
    result = {
        "seconds": seconds,
        "fastest": min(times[1:]),
        "slowest": max(times[1:]),
        "samples": activity.samples,
        "steps": activity.steps,
        "samples_per_second": activity.samples / seconds,
        "synops_per_second": synops / seconds,
        "threads": settings.threads,
        "repeats": settings.repeats,
        "machine": machine(),
        "versions": versions(),
    }
    if arguments.json:
        print_json(result)
        return
    screen.say(f"{folder.path}: {count(activity.samples)} samples of {activity.steps} steps, {settings.threads} thread(s)")
    screen.say(f"  median of {settings.repeats}: {si(seconds, 's')} ({si(min(times[1:]), 's')} to {si(max(times[1:]), 's')})")
    screen.say(f"  {count(activity.samples / seconds)} samples/s, {count(synops / seconds)} synops/s")
    installed = versions()
    named = (f"{name} {installed[name]}" for name in ("filopodia", "numpy", "numba"))
    screen.say("  " + ", ".join((*machine().values(), *named)))
