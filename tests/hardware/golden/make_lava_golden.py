"""Run random programs on real Lava and keep what it made of them.

python tests/hardware/golden/make_lava_golden.py KIND COUNT SEED FILE

KIND is `programs` (drawn integer by integer, everything that Lava can express) or `compiled` (NIR networks of every kind, as
the compiler made programs of them). Kept here: lava_first.npz (100 programs, every actor of Lava an operating system process,
as Lava comes), lava_second.npz and lava_third.npz (1700 programs, actors as threads), lava_compiled.npz (600 compiled networks,
threads). The programs are stored whole, so later changes to how they are drawn or compiled do not matter.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import lava_programs
import nir_networks
import numpy as np

from filopodia.hardware.lava.plan import plan_job
from filopodia.hardware.lava.runner import run_many

HERE = Path(__file__).parent
BATCH = 100


def draw(kind: str, count: int, seed: int) -> list[Any]:
    if kind == "programs":
        return list(lava_programs.draw_cases(count, seed))
    return [lava_programs.Case(*nir_networks.compiled(seed + k)) for k in range(count)]


def main(kind: str, count: int, seed: int, file: str) -> None:
    cases = draw(kind, count, seed)
    for case in cases:
        plan_job(case.program, steps=1, samples=1, record={})  # refuse the whole run before it starts
    kept = []
    started = time.monotonic()
    for start in range(0, len(cases), BATCH):
        batch = cases[start : start + BATCH]
        for case, ran in zip(
            batch, run_many([(c.program, c.spikes) for c in batch], record=("spikes", "u", "v"), actors="threads"), strict=True
        ):
            names = [layer.name for layer in case.program.layers]
            sums = {name: lava_programs.checksums(ran.states["u"][name], ran.states["v"][name]) for name in names}
            kept.append(lava_programs.Kept(case, {name: ran.spikes[name].astype(np.bool_) for name in names}, sums))
        lava_programs.save(HERE / file, kept, "lava-nc 0.10.0, numpy 1.26.4, scipy 1.15.3, Python 3.10, x86-64")
        print(f"{len(kept)} of {count} programs, {time.monotonic() - started:.0f} s", flush=True)
    print(f"{HERE / file}: {(HERE / file).stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
