"""SynOps at equal accuracy: plain STDS at several sparsities, against STDS told to land on a share of their SynOps.

Plain STDS runs at each sparsity: its best points are the curve to beat. Then each share of the first one's mean SynOps is the
target of three aware modes: CostSTDS with each of --weightings and --penalties, and, at each sparsity of --budgets, plain STDS
with a SynOps budget (`synop_budget`). `over plain` is what a mode needs over what the curve needs for the same accuracy.

python benchmarks/prune_synops.py [--data digits|mnist|mnist-csnn|nmnist] [--sparsities 0.9 0.95] [--shares 0.7]
                                  [--weightings 0] [--penalties 0 0.1] [--budgets 0.9] [--save]

`--first-seed 3` confirms on other seeds, in a JSON of its own.
`--held-out` tries settings: the last 10 000 training samples (of N-MNIST 200) are kept from the training and tested on.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import msgspec
import numpy as np
from prune_common import Outcome, Series, arguments, machine, summary
from prune_rivals import base_of, configured, data_of

from filopodia.prune import DataSet, Samples


def fed(samples: Samples) -> float:
    """Values that are not zero per sample: with direct encoding they come in every step, of events each is a spike."""
    return float(np.count_nonzero(np.asarray(samples.images)) / len(samples))


def curve(plain: Sequence[Outcome]) -> list[tuple[float, float]]:
    """Mean accuracy and mean SynOps of every sparsity that no other one beats in both, the cheapest first."""
    groups = [[run for run in plain if run.name == name] for name in dict.fromkeys(run.name for run in plain)]
    points = [(statistics.mean(r.accuracy for r in group), statistics.mean(r.synops for r in group)) for group in groups]
    points.sort(key=lambda point: point[1])
    return [(a, s) for index, (a, s) in enumerate(points) if all(a > other for other, _ in points[:index])]


def needed(accuracy: float, best: Sequence[tuple[float, float]]) -> float:
    """SynOps that the curve needs for an accuracy, straight lines between its points.

    Those of its most accurate point beyond it, which is less than it would need; NaN before its first, where it is not known.
    """
    accuracies, synops = zip(*best, strict=True)
    return float(np.interp(accuracy, accuracies, synops, left=np.nan))


def main() -> None:
    """Run both."""
    parser = arguments(__doc__)
    parser.add_argument("--data", default="digits", choices=["digits", "mnist", "mnist-csnn", "nmnist"])
    parser.add_argument("--sparsities", type=float, nargs="+", default=[0.9, 0.95])
    parser.add_argument("--shares", type=float, nargs="+", default=[0.7])
    parser.add_argument("--weightings", type=float, nargs="*", default=[0.0])
    parser.add_argument("--penalties", type=float, nargs="*", default=[0.0, 0.1])
    parser.add_argument("--budgets", type=float, nargs="*", default=[], help="sparsities")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--held-out", action="store_true", help="nothing is saved")
    options = parser.parse_args()
    print(machine())
    base = msgspec.structs.replace(base_of(options.data), threads=options.threads, rate_penalty=0.0)
    data = data_of(base)
    if options.held_out:
        cut = len(data.train) - (200 if options.data == "nmnist" else 10_000)
        data = DataSet(data.train.part(slice(cut)), data.train.part(slice(cut, None)))
    benchmark = f"prune_synops_{options.data}" + (f"_from_seed_{options.first_seed}" if options.first_seed else "")
    series = Series(benchmark, base, data, kept=options.save and not options.held_out)
    seeds = range(options.first_seed, options.first_seed + options.seeds)

    def all_seeds(name: str, *, synop_penalty: float = 0.0, synop_budget: float = 0.0, **prune: object) -> list[Outcome]:
        config = configured(base, "stds", options.sparsities[0])
        config = msgspec.structs.replace(config, synop_penalty=synop_penalty, synop_budget=synop_budget)
        config = msgspec.structs.replace(config, prune=msgspec.structs.replace(config.prune, **prune))
        return [series.run(name, msgspec.structs.replace(config, seed=seed)) for seed in seeds]

    plain = [all_seeds(f"plain {sparsity:.1%}", target_sparsity=sparsity) for sparsity in options.sparsities]
    first, aware = statistics.mean(run.synops for run in plain[0]), dict[str, tuple[float, list[Outcome]]]()
    for share in options.shares:
        target = float(round(first * share))
        for weighting in options.weightings:
            for penalty in options.penalties:
                name = f"target {target:.0f}, " + (f"weighting {weighting:g}, " if weighting else "") + f"penalty {penalty:g}"
                prune = {"target_synops": target, "cost_weighting": weighting}
                aware[name] = target, all_seeds(name, synop_penalty=penalty, **prune)
        for sparsity in options.budgets:
            name = f"budget {target:.0f}, {sparsity:.1%}"
            aware[name] = target, all_seeds(name, synop_budget=target, target_sparsity=sparsity)
    summary(series.outcomes)
    best = curve([run for runs in plain for run in runs])
    for name, (target, runs) in aware.items():
        landed, accuracy = (statistics.mean(values) for values in zip(*((r.synops, r.accuracy) for r in runs), strict=True))
        told = f"{landed / needed(accuracy, best):.3f} over plain at {accuracy:.2%}"
        print(f"{name}: {told}, {landed / target - 1:+.2%} off the target")
    print(f"not zero per sample: {fed(data.train):.0f} of the training samples, {fed(data.test):.0f} of the test samples")


if __name__ == "__main__":
    main()
