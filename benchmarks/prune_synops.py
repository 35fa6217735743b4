"""What lowers SynOps at which price in accuracy: a firing-rate penalty, a SynOps target, cost-weighted thresholds.

Plain STDS, without any of them, runs first at a weight sparsity; its SynOps per sample times each share is then the target.

python benchmarks/prune_synops.py [--data digits|mnist|nmnist] [--sparsity 0.9] [--penalties 0.05] [--shares 0.7] [--save]
"""

from __future__ import annotations

import statistics

import msgspec
from prune_common import Outcome, arguments, machine, run, save, summary
from prune_rivals import base_of

from filopodia.prune import load_data


def main() -> None:
    """Run both."""
    parser = arguments(__doc__)
    parser.add_argument("--data", default="digits", choices=["digits", "mnist", "nmnist"])
    parser.add_argument("--sparsity", type=float, default=0.9)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.7])
    parser.add_argument("--penalties", type=float, nargs="+", default=[0.02, 0.05, 0.1])
    parser.add_argument("--weightings", type=float, nargs="+", default=[0.0, 0.25])
    parser.add_argument("--epochs", type=int, default=0, help="other than the recipe's")
    options = parser.parse_args()
    print(machine())
    base = msgspec.structs.replace(base_of(options.data), threads=options.threads)
    base = msgspec.structs.replace(base, epochs=options.epochs or base.epochs)
    data = load_data(base.data)

    def all_seeds(name: str, penalty: float, **prune: object) -> list[Outcome]:
        config = msgspec.structs.replace(base, rate_penalty=penalty, prune=msgspec.structs.replace(base.prune, **prune))
        return [run(name, msgspec.structs.replace(config, seed=seed), data) for seed in range(options.seeds)]

    outcomes = all_seeds("plain", 0.0, target_sparsity=options.sparsity)
    plain = statistics.mean(outcome.synops for outcome in outcomes)
    for penalty in options.penalties:
        outcomes += all_seeds(f"rate penalty {penalty}", penalty, target_sparsity=options.sparsity)
    for share in options.shares:
        for weighting in options.weightings:
            name = f"target {share} × plain, γ {weighting}"
            outcomes += all_seeds(name, 0.0, target_synops=plain * share, cost_weighting=weighting)
    summary(outcomes)
    if options.save:
        save(f"prune_synops_{options.data}", outcomes, base)


if __name__ == "__main__":
    main()
