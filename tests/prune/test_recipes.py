"""Every ready configuration builds its network and takes a step; the big ones in small."""

from __future__ import annotations

import msgspec
import pytest
import torch
from spikingjelly.activation_based import functional

from filopodia.errors import InputError
from filopodia.prune import RECIPES, DataSet, Samples, TrainConfig, build_net, recipe, train
from filopodia.prune.data import info


def stub(config: TrainConfig, count: int) -> DataSet:
    """Noise in the shape of the recipe's data set."""
    about, generator = info(config.data.name), torch.Generator().manual_seed(0)
    shape = (count, config.data.steps, *about.shape) if about.timed else (count, *about.shape)
    noise = torch.rand(shape, generator=generator)
    images = (noise < 0.2).to(torch.uint8) if about.timed else noise
    samples = Samples(images, torch.arange(count) % about.classes)
    return DataSet(samples, samples)


def small(config: TrainConfig) -> TrainConfig:
    """The recipe with narrow layers, short samples and one epoch; its kind of everything kept."""
    net = msgspec.structs.replace(config.net, channels=(4,) * len(config.net.channels), hidden=(8,) * len(config.net.hidden))
    data = msgspec.structs.replace(config.data, steps=2)
    return msgspec.structs.replace(config, net=net, data=data, epochs=4, batch_size=2, threads=1, device="cpu")


BIG = ("vggsnn", "sew-resnet18", "sew-resnet18-paper")
OPEN_LOOP = ("cifar10net-paper", "sew-resnet18-paper")


@pytest.mark.parametrize("name", sorted(set(RECIPES) - {*BIG, *OPEN_LOOP}))
def test_recipe_trains_to_its_target_on_a_stub(name: str) -> None:
    config = small(recipe(name))
    events = list(train(config, data=stub(config, 4)))
    assert events[-1].frozen
    assert events[-1].sparsity == pytest.approx(config.prune.target_sparsity, abs=0.02)


def test_the_papers_open_loop_ends_at_its_threshold_and_keeps_what_is_above() -> None:
    config = small(recipe("cifar10net-paper"))
    config = msgspec.structs.replace(config, prune=msgspec.structs.replace(config.prune, threshold=0.05))
    events = list(train(config, data=stub(config, 4)))
    assert [event.frozen for event in events] == [False, False, False, True]
    assert [event.threshold for event in events[:3]] == pytest.approx(
        [0.05 * share for share in (0.1464, 0.5, 0.8536)], rel=1e-3
    )
    assert 0.3 < events[-1].sparsity < 1.0


@pytest.mark.parametrize("name", BIG)
def test_big_nets_run_in_their_shapes(name: str) -> None:
    config = recipe(name)
    about = info(config.data.name)
    with torch.no_grad():
        out = build_net(config).eval()(torch.zeros(1, 1, *about.shape))
    assert out.shape == (1, 1, about.classes * config.net.votes)


@pytest.mark.parametrize("name", ["cifar10net", "cifar10net-paper"])
def test_cifar10net_is_the_papers(name: str) -> None:
    with torch.device("meta"):
        net = build_net(recipe(name))
    assert sum(p.numel() for name, p in net.named_parameters() if p.dim() > 1) == 36_715_264


def test_recurrent_net_hears_itself() -> None:
    torch.manual_seed(0)
    net = build_net(recipe("fsdd")).eval()
    x = torch.zeros(6, 1, 80)
    x[0] = 1
    with torch.no_grad():
        net.rec2.rc.weight.fill_(0.5)
        net.rec2.rc.bias.fill_(0.0)
        net.rec2.rc.weight[:, 128:] = 5.0
        net.spike1.register_forward_hook(
            lambda module, inputs, output: torch.cat([torch.ones_like(output[:1]), output[1:] * 0])
        )
        heard = []
        net.rec2.register_forward_hook(lambda module, inputs, output: heard.append(output))
        net(x)
        functional.reset_net(net)
    assert heard[0].mean((1, 2)).tolist() == [1.0] * 6  # one spike at the start keeps it going


def test_unknown_recipe() -> None:
    with pytest.raises(InputError, match="mnist-csnn"):
        recipe("mnist")
