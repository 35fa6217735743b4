"""The digits recipe over seeds, beside its dense twin.

python benchmarks/prune_digits.py [--seeds 3] [--target 0.9] [--save]
"""

from __future__ import annotations

import msgspec
from prune_common import arguments, machine, run, save, summary

from filopodia.prune import recipe


def main() -> None:
    """Run it."""
    parser = arguments(__doc__)
    parser.add_argument("--target", type=float, default=recipe("digits").prune.target_sparsity, help="weight sparsity")
    options = parser.parse_args()
    print(machine())
    base = msgspec.structs.replace(recipe("digits"), threads=options.threads)
    outcomes = []
    for method in ("stds", "dense"):
        prune = msgspec.structs.replace(base.prune, method=method, target_sparsity=options.target)
        for seed in range(options.seeds):
            outcomes.append(run(method, msgspec.structs.replace(base, prune=prune, seed=seed)))
    summary(outcomes)
    if options.save:
        save("prune_digits", outcomes, base)


if __name__ == "__main__":
    main()
