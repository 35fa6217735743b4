"""The MNIST headline runs: CSNN at 97.75 % and a two-layer MLP at 95 % weight sparsity. Needs FILOPODIA_DATA.

python benchmarks/prune_mnist.py {csnn,mlp} [--seeds 1] [--epochs N] [--threads 2] [--save]
"""

from __future__ import annotations

import msgspec
from prune_common import arguments, machine, run, save, summary

from filopodia.prune import load_data, recipe


def main() -> None:
    """Run one of them."""
    parser = arguments(__doc__, seeds=1)
    parser.add_argument("which", choices=["csnn", "mlp"])
    parser.add_argument("--epochs", type=int, default=0, help="other than the recipe's")
    options = parser.parse_args()
    print(machine())
    base = recipe(f"mnist-{options.which}")
    base = msgspec.structs.replace(base, threads=options.threads, epochs=options.epochs or base.epochs)
    data = load_data(base.data)
    outcomes = [run(options.which, msgspec.structs.replace(base, seed=seed), data) for seed in range(options.seeds)]
    summary(outcomes)
    if options.save:
        save(f"prune_mnist_{options.which}", outcomes, base)


if __name__ == "__main__":
    main()
