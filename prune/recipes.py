"""Ready configurations by name: the embedded digits, the small sets a CPU can train on, and the paper's networks."""

from __future__ import annotations

from filopodia.errors import InputError
from filopodia.prune.config import DataConfig, NetConfig, PruneConfig, TrainConfig

_EVEN = (1, 1, 2, 1, 1, 2)
_MNIST = DataConfig(name="mnist", encoding="direct", steps=4)

RECIPES: dict[str, TrainConfig] = {
    "digits": TrainConfig(),
    "mnist-csnn": TrainConfig(
        data=_MNIST,
        net=NetConfig(channels=(16, 32), pool=(2, 2), hidden=(128,)),
        prune=PruneConfig(target_sparsity=0.9775),
        epochs=20,
        batch_size=100,
        rate_penalty=0.0,
    ),
    "mnist-mlp": TrainConfig(
        data=_MNIST,
        net=NetConfig(channels=(), pool=(), hidden=(800,), dropout=0.1),
        prune=PruneConfig(target_sparsity=0.95),
        epochs=40,
        batch_size=100,
        learning_rate=2e-3,
        rate_penalty=0.0,
    ),
    # CIFAR10Net of the paper: 6 convolutions of 256, two linear layers, voting, T = 8, MSE, Adam at a constant 1e-4, batch 16.
    # The paper's recipe is 2048 epochs of the open loop; see benchmarks/prune_cifar10.py.
    "cifar10net": TrainConfig(
        data=DataConfig(name="cifar10", encoding="direct", steps=8, shift=4, flip=True),
        net=NetConfig(
            channels=(256,) * 6, pool=_EVEN, pooling="max", hidden=(2048,), votes=10, dropout=0.5, batch_norm="convolutions"
        ),
        prune=PruneConfig(target_sparsity=0.985),
        epochs=60,
        batch_size=128,
        learning_rate=1e-3,
        rate_penalty=0.0,
        precision="bf16",
    ),
    # SEW-ResNet18 of the paper's ImageNet runs (T = 4, IF, SGD 0.1), here on CIFAR-10 images.
    "sew-resnet18": TrainConfig(
        data=DataConfig(name="cifar10", encoding="direct", steps=4, shift=4, flip=True),
        net=NetConfig(name="sew_resnet18", neuron="if", votes=1),
        prune=PruneConfig(target_sparsity=0.9, dense=("fc",)),
        epochs=60,
        batch_size=128,
        optimizer="sgd",
        learning_rate=0.1,
        loss="cross_entropy",
        logit_scale=1.0,
        rate_penalty=0.0,
        precision="bf16",
    ),
    "nmnist": TrainConfig(
        data=DataConfig(name="nmnist", encoding="frames", steps=10, shift=1),
        net=NetConfig(channels=(16, 32), pool=(2, 2), hidden=(128,)),
        epochs=30,
        batch_size=32,
    ),
    "vggsnn": TrainConfig(
        data=DataConfig(name="cifar10_dvs", encoding="frames", steps=10, shift=4, flip=True),
        net=NetConfig(channels=(64, 128, 256, 256, 512, 512, 512, 512), pool=(1, 2, 1, 2, 1, 2, 1, 2), hidden=(), votes=10),
        epochs=100,
        batch_size=32,
        rate_penalty=0.0,
        precision="bf16",
    ),
    "fsdd": TrainConfig(
        data=DataConfig(name="fsdd", encoding="frames", steps=32, shift=0),
        net=NetConfig(name="recurrent", hidden=(128,)),
        epochs=30,
        batch_size=64,
    ),
}


def recipe(name: str) -> TrainConfig:
    """A configuration by name; InputError lists the names."""
    if name not in RECIPES:
        raise InputError(f"found {name!r}", where="recipe", allowed=", ".join(RECIPES))
    return RECIPES[name]
