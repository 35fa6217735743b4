"""STDS and its rivals on one network, one recipe, the same number of steps: accuracy, synapses and SynOps over seeds.

python benchmarks/prune_rivals.py [--data digits|mnist|nmnist] [--targets 0.9 0.95 0.98] [--methods stds set …] [--save]
"""

from __future__ import annotations

import msgspec
from prune_common import arguments, machine, run, save, summary

from filopodia.prune import TrainConfig, load_data, recipe

METHODS = (
    "stds",
    "soft_threshold",
    "grad_r",
    "gradual_magnitude",
    "one_shot_magnitude",
    "set",
    "rigl",
    "upr",
    "random",
)


def base_of(data: str) -> TrainConfig:
    """One short recipe for all methods."""
    if data == "mnist":
        config = recipe("mnist-csnn")
        return msgspec.structs.replace(config, data=msgspec.structs.replace(config.data, train_samples=10_000), epochs=10)
    return recipe(data)


def main() -> None:
    """Run them all, and dense once per seed."""
    parser = arguments(__doc__)
    parser.add_argument("--data", default="digits", choices=["digits", "mnist", "nmnist"])
    parser.add_argument("--targets", type=float, nargs="+", default=[0.9, 0.95, 0.98])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--epochs", type=int, default=0, help="other than the recipe's")
    options = parser.parse_args()
    print(machine())
    base = msgspec.structs.replace(base_of(options.data), threads=options.threads)
    base = msgspec.structs.replace(base, epochs=options.epochs or base.epochs)
    data = load_data(base.data)
    jobs = [("dense", 0.5), *((method, target) for target in options.targets for method in options.methods)]
    outcomes = []
    for method, target in jobs:
        name = method if method == "dense" else f"{method} {target:.0%}"
        for seed in range(options.seeds):
            prune = msgspec.structs.replace(base.prune, method=method, target_sparsity=target)
            outcomes.append(run(name, msgspec.structs.replace(base, prune=prune, seed=seed), data))
    summary(outcomes)
    if options.save:
        save(f"prune_rivals_{options.data}", outcomes, base)


if __name__ == "__main__":
    main()
