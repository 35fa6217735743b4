"""The MNIST headline runs: CSNN at 97.75 % and a two-layer MLP at 95 % weight sparsity. Needs FILOPODIA_DATA.

python benchmarks/prune_mnist.py {csnn,mlp} [--seeds 1] [--threads 2] [--save]

The last epoch's network counts; the test images choose nothing.
"""

from __future__ import annotations

import msgspec
from prune_common import Series, arguments, machine, summary

from filopodia.prune import load_data, recipe


def main() -> None:
    """Run one of them."""
    parser = arguments(__doc__, seeds=1)
    parser.add_argument("which", choices=["csnn", "mlp"])
    options = parser.parse_args()
    print(machine())
    base = msgspec.structs.replace(recipe(f"mnist-{options.which}"), threads=options.threads)
    series = Series(f"prune_mnist_{options.which}", base, load_data(base.data), kept=options.save)
    for seed in range(options.seeds):
        series.run(options.which, msgspec.structs.replace(base, seed=seed))
    summary(series.outcomes)


if __name__ == "__main__":
    main()
