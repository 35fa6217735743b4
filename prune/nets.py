"""Reference networks, built from a configuration; chains of named SpikingJelly layers that a graph walker can follow."""

from __future__ import annotations

from collections import OrderedDict

from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import nn

from filopodia.errors import ConfigError
from filopodia.prune.config import NetConfig, TrainConfig
from filopodia.prune.data import info


def build_net(config: TrainConfig) -> nn.Module:
    """The network of a run with fresh weights: [T, N, *shape] spikes to [T, N, classes·votes] spikes, multi-step mode."""
    about = info(config.data.name)
    net = csnn(config.net, about.shape, about.classes)
    functional.set_step_mode(net, "m")
    return net


def csnn(config: NetConfig, shape: tuple[int, ...], classes: int) -> nn.Sequential:
    """conv-bn-neuron(-pool) blocks, then fc-bn-neuron blocks, the last one the output. `shape` is [C, H, W]."""
    channels, height, width = shape
    if len(config.pool) != len(config.channels):
        raise ConfigError(
            f"{len(config.pool)} values", where="net.pool", allowed=f"{len(config.channels)}, one per convolution"
        )
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    for index, (wide, side) in enumerate(zip(config.channels, config.pool, strict=True), 1):
        parts[f"conv{index}"] = layer.Conv2d(channels, wide, 3, padding=1, bias=False)
        parts[f"bn{index}"] = layer.BatchNorm2d(wide)
        parts[f"spike{index}"] = make_neuron(config)
        if side > 1:
            parts[f"pool{index}"] = layer.AvgPool2d(side)
        channels, height, width = wide, height // side, width // side
        if not height or not width:
            raise ConfigError("nothing of the image is left", where=f"net.pool[{index - 1}]", allowed="smaller windows")
    parts["flatten"] = layer.Flatten()
    features = channels * height * width
    for index, wide in enumerate((*config.hidden, classes * config.votes), len(config.channels) + 1):
        if config.dropout:
            parts[f"dropout{index}"] = layer.Dropout(config.dropout)
        parts[f"fc{index}"] = layer.Linear(features, wide, bias=False)
        parts[f"bn{index}"] = layer.BatchNorm1d(wide)
        parts[f"spike{index}"] = make_neuron(config)
        features = wide
    return nn.Sequential(parts)


def make_neuron(config: NetConfig) -> nn.Module:
    """A neuron layer: threshold 1, hard reset to 0, ATan surrogate, no gradient through the reset."""
    common = {"v_threshold": 1.0, "v_reset": 0.0, "surrogate_function": surrogate.ATan(), "detach_reset": True}
    made = neuron.IFNode(**common) if config.neuron == "if" else neuron.LIFNode(tau=config.tau, decay_input=True, **common)
    assert isinstance(made, nn.Module)
    return made
