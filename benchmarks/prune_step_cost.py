"""What STDS costs: the training step with it against the dense step, interleaved, medians.

python benchmarks/prune_step_cost.py [--rounds 9] [--recipes digits …] [--threads 2] [--save]
"""

from __future__ import annotations

import statistics
import time

import msgspec
import torch
from prune_common import arguments, machine, save

from filopodia.prune import RECIPES, DataSet, Samples, TrainConfig, recipe
from filopodia.prune.data import info
from filopodia.prune.loop import Run, one_pass, open_run

STEPS = 10  # optimizer steps timed at once


def opened(config: TrainConfig, method: str) -> Run:
    """A run over noise of the recipe's shape: STEPS batches an epoch."""
    about, count = info(config.data.name), STEPS * config.batch_size
    samples = Samples(torch.rand(count, *about.shape), torch.arange(count) % about.classes)
    prune = msgspec.structs.replace(config.prune, method=method)
    return open_run(msgspec.structs.replace(config, prune=prune, epochs=1000), DataSet(samples, samples))


def cost(name: str, rounds: int, threads: int) -> dict[str, object]:
    """Seconds of a dense and an STDS step, interleaved; on a CPU the time of all threads."""
    config = msgspec.structs.replace(recipe(name), threads=threads)
    runs = {method: opened(config, method) for method in ("dense", "stds")}
    times: dict[str, list[float]] = {method: [] for method in runs}
    for epoch in range(1, rounds + 2):
        for method, run in runs.items() if epoch % 2 else reversed(runs.items()):
            clock = time.process_time if run.device.type == "cpu" else time.perf_counter
            began = clock()
            one_pass(run, epoch)
            if run.device.type == "cuda":
                torch.cuda.synchronize()
            if epoch > 1:  # the first warms up
                times[method].append((clock() - began) / STEPS)
    medians = {method: statistics.median(values) for method, values in times.items()}
    ratios = [b / a for a, b in zip(times["dense"], times["stds"], strict=True)]
    dense, stds = (medians[method] * 1e3 for method in ("dense", "stds"))
    ratio = statistics.median(ratios)
    print(f"{name}: dense {dense:.1f} ms, STDS {stds:.1f} ms a step")
    print(f"  STDS / dense: median {ratio:.3f} of {len(ratios)} rounds, {min(ratios):.3f} … {max(ratios):.3f}")
    return {"recipe": name, "median_s": medians, "ratio": ratio, "ratios": ratios}


def main() -> None:
    """Dense, STDS, STDS, dense, …"""
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--recipes", nargs="+", default=["digits", "mnist-csnn", "mnist-mlp"], choices=sorted(RECIPES))
    options = parser.parse_args()
    print(machine())
    rows = [cost(name, options.rounds, options.threads) for name in options.recipes]
    if options.save:
        save("prune_step_cost", rows)


if __name__ == "__main__":
    main()
