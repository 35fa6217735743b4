"""The digits recipe over seeds, beside its dense twin.

python benchmarks/prune_digits.py [--seeds 3] [--target 0.9] [--save]
"""

from __future__ import annotations

import msgspec
from prune_common import Series, arguments, machine, summary

from filopodia.prune import load_data, recipe


def main() -> None:
    """Run it."""
    parser = arguments(__doc__)
    parser.add_argument("--target", type=float, default=recipe("digits").prune.target_sparsity, help="weight sparsity")
    options = parser.parse_args()
    print(machine())
    base = msgspec.structs.replace(recipe("digits"), threads=options.threads)
    base = msgspec.structs.replace(base, prune=msgspec.structs.replace(base.prune, target_sparsity=options.target))
    series = Series("prune_digits", base, load_data(base.data), kept=options.save)
    for method in ("stds", "dense"):
        prune = msgspec.structs.replace(base.prune, method=method)
        for seed in range(options.seeds):
            series.run(method, msgspec.structs.replace(base, prune=prune, seed=seed))
    summary(series.outcomes)


if __name__ == "__main__":
    main()
