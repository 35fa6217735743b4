"""The ANN of a spiking network, trained by the same recipe: what a spiking network must be compared with.

The same layers, BatchNorm kept, a ReLU for every spiking layer, the image itself in place of its T steps; the last spiking
layer gives way, its input is the score of each class. One training in float32 makes three more networks of it: rounded to
8 bits, pruned layer by layer to given sparsities and rounded, and trained on with few bits (a QNN).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import msgspec
import torch
from spikingjelly.activation_based import layer, neuron
from torch import Tensor, nn

from filopodia.errors import UnsupportedError
from filopodia.prune.attach import WEIGHTED
from filopodia.prune.config import TrainConfig
from filopodia.prune.data import DataSet, Samples, load_data
from filopodia.prune.encoding import encode
from filopodia.prune.evaluation import CHUNK, readout
from filopodia.prune.hold import hold_zeros
from filopodia.prune.loop import Run, make_optimizer, one_pass, open_run
from filopodia.prune.rounding import round_to
from filopodia.prune.schedule import SHAPES

Progress = Callable[[str, int, int], None]
SHRINKING = 0.6  # of the epochs of pruning; the rest trains what is left


@dataclass(frozen=True)
class AnnScores:
    """Right answers among `samples` test samples: in float32; at 8 bits; pruned, at 8 bits; as a QNN of `bits` bits.

    `epochs`: passes of the first training; the pruned network takes as many more, the QNN half as many.
    """

    samples: int
    epochs: int
    bits: int
    fp32: int
    int8: int
    pruned_int8: int
    qnn: int


def ann_of(net: nn.Module) -> nn.Module:
    """A copy of a spiking net [T, N, …] with ReLUs for neurons, none after the last weights. Feed it one step, T = 1.

    Raises UnsupportedError for recurrent layers: without time they have no equivalent.
    """
    net = copy.deepcopy(net)
    if any(isinstance(module, layer.LinearRecurrentContainer) for module in net.modules()):
        raise UnsupportedError("a recurrent layer", where="ann_of", allowed="networks without recurrence")
    order = list(net.named_modules())
    last = max(index for index, (_, module) in enumerate(order) if isinstance(module, WEIGHTED))
    for index, (name, module) in enumerate(order):
        if isinstance(module, neuron.BaseNode):
            parent, _, own = name.rpartition(".")
            setattr(net.get_submodule(parent), own, nn.ReLU() if index < last else nn.Identity())
    return net


def still(samples: Samples, *, timed: bool) -> Samples:
    """Samples without time: the mean of those that come in steps [N, T, …], others as they are."""
    if not timed:
        return samples
    assert isinstance(samples.images, Tensor)  # only pictures are read from files one by one
    return Samples(samples.images.float().mean(1), samples.labels)


def ann_config(config: TrainConfig) -> TrainConfig:
    """The recipe for the ANN: the same network, data, epochs, optimizer; one step of values; cross-entropy of the scores."""
    data = msgspec.structs.replace(config.data, encoding="direct", steps=1)
    prune = msgspec.structs.replace(config.prune, method="dense")
    return msgspec.structs.replace(config, data=data, prune=prune, loss="cross_entropy", logit_scale=1.0, rate_penalty=0.0)


def layer_sparsities(net: nn.Module) -> dict[str, float]:
    """Share of zero weights of each Linear and Conv layer."""
    layers = [(name, module) for name, module in net.named_modules() if isinstance(module, WEIGHTED)]
    return {name: float((module.weight == 0).float().mean()) for name, module in layers}


def train_anns(
    config: TrainConfig,
    targets: Mapping[str, float],
    bits: int,
    *,
    data: DataSet | None = None,
    samples: int = 0,
    progress: Progress | None = None,
) -> AnnScores:
    """Train the ANN of the spiking network that `config` describes and make the others of it; see the module.

    `targets`: the sparsity of each layer for the pruned one. `bits`: the QNN's. `samples`: how many test samples to answer,
    0 for all. Raises UnsupportedError for a recurrent network, TrainingError as `train` does.
    """
    data = load_data(config.data) if data is None else data
    timed = config.data.encoding == "frames"
    data = DataSet(still(data.train, timed=timed), still(data.test, timed=timed))
    run = open_run(ann_config(config), data)
    run = _with(run, ann_of(run.net).to(run.device), config.epochs)
    scores = dict[str, int]()
    answer = _Answers(run, samples or len(data.test))
    _epochs(run, "ANN", progress)
    scores["fp32"] = answer(run.net)
    scores["int8"] = answer(round_to(copy.deepcopy(run.net), 8, answer.seen))

    small = _with(run, copy.deepcopy(run.net), config.epochs)
    _epochs(small, "pruned ANN", progress, lambda share: prune_layers(small.net, targets, share / SHRINKING))
    scores["pruned_int8"] = answer(round_to(small.net, 8, answer.seen))

    few = _with(run, round_to(copy.deepcopy(run.net), bits, answer.seen), max(1, config.epochs // 2))
    _epochs(few, f"{bits}-bit QNN", progress)
    return AnnScores(samples=answer.samples, epochs=config.epochs, bits=bits, **scores, qnn=answer(few.net))


def _with(run: Run, net: nn.Module, epochs: int) -> Run:
    """The same run on another network, with an optimizer of its own."""
    config = msgspec.structs.replace(run.config, epochs=epochs)
    return replace(run, config=config, net=net, wrapped=net, optimizer=make_optimizer(net, config))


def _epochs(run: Run, what: str, progress: Progress | None, before: Callable[[float], None] | None = None) -> None:
    """All epochs; `before` each, what to do at this share of them, whose zeros then stay."""
    for epoch in range(1, run.config.epochs + 1):
        if before:
            before(epoch / run.config.epochs)
        release = hold_zeros(run.net, run.optimizer) if before else None
        one_pass(run, epoch)
        if release:
            release()
        if progress:
            progress(f"{what}, epoch {epoch}", epoch, run.config.epochs)


@torch.no_grad()
def prune_layers(net: nn.Module, targets: Mapping[str, float], share: float) -> None:
    """The smallest weights of each layer to zero, as many as the cubic schedule wants at `share` of its way."""
    for name, module in net.named_modules():
        if isinstance(module, WEIGHTED):
            wanted = round(targets[name] * SHAPES["cubic"](min(share, 1.0)) * module.weight.numel())
            smallest = module.weight.abs().flatten().topk(wanted, largest=False, sorted=False).indices
            module.weight.view(-1)[smallest] = 0.0


class _Answers:
    """Counts right answers on the first test samples. `seen` is a batch of training samples, [1, N, …]."""

    def __init__(self, run: Run, samples: int) -> None:
        self.run, self.samples = run, min(samples, len(run.test))
        self.seen = self._step(run.learned.images[:CHUNK])

    def _step(self, images: Tensor) -> Tensor:
        return encode(images.to(self.run.device), 1, "direct").float()

    @torch.no_grad()
    def __call__(self, net: nn.Module) -> int:
        net.eval()
        images, labels = self.run.test.images[: self.samples], self.run.test.labels[: self.samples]
        parts = zip(images.split(CHUNK), labels.split(CHUNK), strict=True)
        return sum(
            int((readout(net(self._step(some)), self.run.classes).argmax(1).cpu() == wanted).sum()) for some, wanted in parts
        )
