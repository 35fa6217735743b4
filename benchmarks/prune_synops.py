"""SynOps at equal accuracy: plain STDS at several sparsities, against STDS told to land on a share of their SynOps.

Plain STDS runs at each sparsity; then the aware mode gets each share of the first one's mean SynOps as its target, without
and with a penalty on the SynOps behind hidden neurons in the loss. The other sparsities show what plain STDS can do alone.

python benchmarks/prune_synops.py [--data digits|mnist|mnist-csnn|nmnist] [--sparsities 0.9 0.95] [--shares 0.7]
                                  [--penalties 0 0.1] [--save]
"""

from __future__ import annotations

import statistics

import msgspec
from prune_common import Series, arguments, machine, summary
from prune_rivals import base_of, configured, data_of


def main() -> None:
    """Run both."""
    parser = arguments(__doc__)
    parser.add_argument("--data", default="digits", choices=["digits", "mnist", "mnist-csnn", "nmnist"])
    parser.add_argument("--sparsities", type=float, nargs="+", default=[0.9, 0.95])
    parser.add_argument("--shares", type=float, nargs="+", default=[0.7])
    parser.add_argument("--penalties", type=float, nargs="+", default=[0.0, 0.1])
    options = parser.parse_args()
    print(machine())
    base = msgspec.structs.replace(base_of(options.data), threads=options.threads, rate_penalty=0.0)
    series = Series(f"prune_synops_{options.data}", base, data_of(base), kept=options.save)

    def all_seeds(name: str, penalty: float, **prune: object) -> float:
        config = msgspec.structs.replace(configured(base, "stds", options.sparsities[0]), synop_penalty=penalty)
        config = msgspec.structs.replace(config, prune=msgspec.structs.replace(config.prune, **prune))
        runs = [series.run(name, msgspec.structs.replace(config, seed=seed)) for seed in range(options.seeds)]
        return statistics.mean(run.synops for run in runs)

    plain, *_ = [all_seeds(f"plain {sparsity:.1%}", 0.0, target_sparsity=sparsity) for sparsity in options.sparsities]
    for share in options.shares:
        target = float(round(plain * share))
        for penalty in options.penalties:
            name = f"target {target:.0f}, penalty {penalty:g}"
            landed = all_seeds(name, penalty, target_synops=target)
            print(f"{name}: {landed / plain:.3f} of plain, {landed / target - 1:+.2%} off the target")
    summary(series.outcomes)


if __name__ == "__main__":
    main()
