"""CIFAR-10, the paper's 6-convolution network: accuracy, weights, synapses and SynOps. Wants a large GPU and FILOPODIA_DATA.

python benchmarks/prune_cifar10.py [--recipe cifar10net-paper] [--epochs 60] [--sparsity 0.985]
                                   [--synapses 0.988] [--stub] [--save]

`--recipe cifar10net-paper` is the paper's own run, 2048 epochs. `--synapses` asks for synapse sparsity instead of weight
sparsity. SOPs leave out the first convolution, which is fed with values, as the published ones do. `--stub` takes 32 images,
one step and a few epochs, to see that all of it runs.
"""

from __future__ import annotations

import msgspec
from prune_common import Series, arguments, machine, summary

from filopodia.prune import DataSet, load_data, recipe

PUBLISHED = (  # accuracy, connected weights and synapses in %, SOPs in millions; SOPs of STDS as the authors of UPR counted
    ("STDS D = 1 (its authors' log)", 92.49, 4.641, 11.40, None),
    ("STDS D = 2", 92.49, 2.230, 5.36, None),
    ("STDS D = 3", 91.64, 1.400, 3.02, None),
    ("STDS D = 4", 91.06, 0.993, 1.94, None),
    ("STDS D = 5", 90.21, 0.746, 1.41, 26.81),
    ("UPR (ICLR 2024)", 92.05, None, 1.16, 16.47),
    ("UPR (ICLR 2024)", 90.65, None, 0.63, 8.50),
)


def row(name: str, *values: float | None) -> str:
    """One line of the table."""
    cells = "".join(f"{'–' if value is None else format(value, '.2f'):>12}" for value in values)
    return f"{name:<32}{cells}"


def main() -> None:
    """Run it."""
    parser = arguments(__doc__, seeds=1)
    parser.add_argument("--recipe", default="cifar10net", choices=["cifar10net", "cifar10net-paper"])
    parser.add_argument("--epochs", type=int, default=0, help="other than the recipe's")
    parser.add_argument("--sparsity", type=float, default=recipe("cifar10net").prune.target_sparsity)
    parser.add_argument("--synapses", type=float, default=0.0)
    parser.add_argument("--stub", action="store_true")
    options = parser.parse_args()
    print(machine())
    config = recipe(options.recipe)
    prune = msgspec.structs.replace(config.prune, target_sparsity=options.sparsity, target_synapse_sparsity=options.synapses)
    config = msgspec.structs.replace(config, prune=prune, epochs=options.epochs or config.epochs, threads=options.threads)
    data = load_data(config.data)
    if options.stub:
        data = DataSet(data.train.part(slice(32)), data.test.part(slice(32)))
        config = msgspec.structs.replace(config, epochs=4, batch_size=16, data=msgspec.structs.replace(config.data, steps=1))
    series = Series(f"prune_{options.recipe}", config, data, kept=options.save and not options.stub)
    for seed in range(options.seeds):
        series.run(options.recipe, msgspec.structs.replace(config, seed=seed))
    summary(series.outcomes)
    print(f"\n{'':<32}{'accuracy %':>12}{'weights %':>12}{'synapses %':>12}{'M SOPs':>12}")
    for o in series.outcomes:
        shares = 100 * (1 - o.sparsity), 100 * (1 - o.synapse_sparsity)
        print(row(f"{o.name}, seed {o.seed}", 100 * o.accuracy, *shares, (o.synops - o.macs) / 1e6))
    for name, *values in PUBLISHED:
        print(row(name, *values))


if __name__ == "__main__":
    main()
