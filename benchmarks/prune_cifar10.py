"""CIFAR-10, the paper's 6-convolution network: accuracy, weights, synapses and SynOps. Wants a large GPU and FILOPODIA_DATA.

python benchmarks/prune_cifar10.py [--epochs 60] [--sparsity 0.985] [--synapses 0.988] [--stub] [--save]

`--synapses` asks for synapse sparsity with cost-weighted thresholds instead of weight sparsity. `--stub` takes 64 images and a
few epochs, to see that all of it runs.
"""

from __future__ import annotations

import msgspec
from prune_common import Series, arguments, machine, summary

from filopodia.prune import DataSet, Samples, load_data, recipe


def main() -> None:
    """Run it."""
    parser = arguments(__doc__, seeds=1)
    parser.add_argument("--epochs", type=int, default=recipe("cifar10net").epochs)
    parser.add_argument("--sparsity", type=float, default=recipe("cifar10net").prune.target_sparsity)
    parser.add_argument("--synapses", type=float, default=0.0)
    parser.add_argument("--stub", action="store_true")
    options = parser.parse_args()
    print(machine())
    config = recipe("cifar10net")
    prune = msgspec.structs.replace(config.prune, target_sparsity=options.sparsity, target_synapse_sparsity=options.synapses)
    config = msgspec.structs.replace(config, prune=prune, epochs=options.epochs, threads=options.threads)
    data = load_data(config.data)
    if options.stub:
        data = DataSet(*(Samples(part.images[:64], part.labels[:64]) for part in (data.train, data.test)))
        config = msgspec.structs.replace(config, epochs=4, batch_size=32, data=msgspec.structs.replace(config.data, steps=2))
    series = Series("prune_cifar10", config, data, kept=options.save and not options.stub)
    for seed in range(options.seeds):
        series.run("cifar10net", msgspec.structs.replace(config, seed=seed))
    summary(series.outcomes)


if __name__ == "__main__":
    main()
