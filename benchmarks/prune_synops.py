"""SynOps at equal accuracy: plain STDS at several sparsities, against STDS told to land on a share of their SynOps.

Plain STDS runs at each sparsity; the aware mode then gets `--share` times the mean SynOps of the first one as its target,
with thresholds that grow with what each synapse costs (γ) and with a penalty on the hidden neurons' firing.

python benchmarks/prune_synops.py [--data digits|mnist|nmnist] [--sparsities 0.9 …] [--share 0.7] [--weighting 0.5]
                                  [--penalty 0.05] [--save]
"""

from __future__ import annotations

import statistics

import msgspec
from prune_common import Series, arguments, machine, summary
from prune_rivals import base_of, configured, data_of


def main() -> None:
    """Run both, and the aware mode without each of its two means."""
    parser = arguments(__doc__)
    parser.add_argument("--data", default="digits", choices=["digits", "mnist", "nmnist"])
    parser.add_argument("--sparsities", type=float, nargs="+", default=[0.9])
    parser.add_argument("--share", type=float, default=0.7)
    parser.add_argument("--weighting", type=float, default=0.5)
    parser.add_argument("--penalty", type=float, default=0.05)
    options = parser.parse_args()
    print(machine())
    base = msgspec.structs.replace(base_of(options.data), threads=options.threads, rate_penalty=0.0)
    series = Series(f"prune_synops_{options.data}", base, data_of(base), kept=options.save)

    def all_seeds(name: str, penalty: float, **prune: object) -> float:
        config = msgspec.structs.replace(configured(base, "stds", options.sparsities[0]), rate_penalty=penalty)
        config = msgspec.structs.replace(config, prune=msgspec.structs.replace(config.prune, **prune))
        runs = [series.run(name, msgspec.structs.replace(config, seed=seed)) for seed in range(options.seeds)]
        return statistics.mean(run.synops for run in runs)

    plain, *_ = [all_seeds(f"plain {share:.1%}", 0.0, target_sparsity=share) for share in options.sparsities]
    target = float(round(plain * options.share))
    for weighting, penalty in dict.fromkeys(
        [(0.0, 0.0), (options.weighting, 0.0), (0.0, options.penalty), (options.weighting, options.penalty)]
    ):
        name = f"target {target:.0f}, γ {weighting:g}, penalty {penalty:g}"
        landed = all_seeds(name, penalty, target_synops=target, synapse_weighting=weighting)
        print(f"{name}: {landed / plain:.3f} of plain, landed {landed / target - 1:+.2%} off the target")
    summary(series.outcomes)


if __name__ == "__main__":
    main()
