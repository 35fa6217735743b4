"""Reference networks, built from a configuration; chains of named SpikingJelly layers that a graph walker can follow."""

from __future__ import annotations

from collections import OrderedDict

from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import nn

from filopodia.errors import ConfigError
from filopodia.prune.config import NetConfig, TrainConfig
from filopodia.prune.data import info


def build_net(config: TrainConfig) -> nn.Module:
    """The network of a run with fresh weights: [T, N, *shape] spikes to [T, N, classes·votes], multi-step mode."""
    about = info(config.data.name)
    if config.net.name == "sew_resnet18":
        from filopodia.prune.resnet import sew_resnet18

        net: nn.Module = sew_resnet18(config.net, about.shape, about.classes)
    elif config.net.name == "recurrent":
        net = recurrent(config.net, about.shape, about.classes)
    else:
        net = csnn(config.net, about.shape, about.classes)
    functional.set_step_mode(net, "m")
    if isinstance(getattr(net, "rec2", None), layer.LinearRecurrentContainer):
        functional.set_step_mode(net.rec2.sub_module, "s")  # type: ignore[union-attr]
    return net


def csnn(config: NetConfig, shape: tuple[int, ...], classes: int) -> nn.Sequential:
    """conv-bn-neuron(-pool) blocks, then fc-bn-neuron blocks, the last one the output. `shape` is [C, H, W] or [F]."""
    if len(config.pool) != len(config.channels):
        raise ConfigError(
            f"{len(config.pool)} values", where="net.pool", allowed=f"{len(config.channels)}, one per convolution"
        )
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    if config.channels:
        if len(shape) != 3:
            raise ConfigError(f"samples of shape {shape}", where="net.channels", allowed="images", fix="net.channels = []")
        shape = _convolutions(parts, config, shape)
    features = 1
    for extent in shape:
        features *= extent
    if len(shape) > 1:
        parts["flatten"] = layer.Flatten()
    for index, wide in enumerate((*config.hidden, classes * config.votes), len(config.channels) + 1):
        if config.dropout:
            parts[f"dropout{index}"] = layer.Dropout(config.dropout)
        parts[f"fc{index}"] = layer.Linear(features, wide, bias=config.batch_norm != "all")
        if config.batch_norm == "all":
            parts[f"bn{index}"] = layer.BatchNorm1d(wide)
        parts[f"spike{index}"] = make_neuron(config)
        features = wide
    return nn.Sequential(parts)


def recurrent(config: NetConfig, shape: tuple[int, ...], classes: int) -> nn.Sequential:
    """fc-bn into neurons that also hear their own last spikes, then fc-bn-neuron, the output. `shape` is [F]."""
    if len(shape) != 1 or len(config.hidden) != 1:
        found = f"samples of shape {shape}, hidden {config.hidden}"
        raise ConfigError(found, where="net.name = recurrent", allowed="samples of shape [F], one number of hidden neurons")
    hidden, out = config.hidden[0], classes * config.votes
    bias = config.batch_norm != "all"
    parts: OrderedDict[str, nn.Module] = OrderedDict(fc1=layer.Linear(shape[0], hidden, bias=bias))
    if not bias:
        parts["bn1"] = layer.BatchNorm1d(hidden)
    parts["spike1"] = make_neuron(config)
    parts["rec2"] = layer.LinearRecurrentContainer(make_neuron(config), hidden, hidden, bias=True)
    parts["fc3"] = layer.Linear(hidden, out, bias=bias)
    if not bias:
        parts["bn3"] = layer.BatchNorm1d(out)
    parts["spike3"] = make_neuron(config)
    return nn.Sequential(parts)


def make_neuron(config: NetConfig) -> nn.Module:
    """A neuron layer: threshold 1, hard reset to 0, ATan surrogate, no gradient through the reset."""
    common = {"v_threshold": 1.0, "v_reset": 0.0, "surrogate_function": surrogate.ATan(), "detach_reset": True}
    made = neuron.IFNode(**common) if config.neuron == "if" else neuron.LIFNode(tau=config.tau, decay_input=True, **common)
    assert isinstance(made, nn.Module)
    return made


def _convolutions(parts: OrderedDict[str, nn.Module], config: NetConfig, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Add the convolution blocks to `parts` and return the shape they leave."""
    channels, height, width = shape
    for index, (wide, side) in enumerate(zip(config.channels, config.pool, strict=True), 1):
        parts[f"conv{index}"] = layer.Conv2d(channels, wide, 3, padding=1, bias=config.batch_norm == "none")
        if config.batch_norm != "none":
            parts[f"bn{index}"] = layer.BatchNorm2d(wide)
        parts[f"spike{index}"] = make_neuron(config)
        if side > 1:
            parts[f"pool{index}"] = layer.AvgPool2d(side) if config.pooling == "average" else layer.MaxPool2d(side)
        channels, height, width = wide, height // side, width // side
        if not height or not width:
            raise ConfigError("nothing of the image is left", where=f"net.pool[{index - 1}]", allowed="smaller windows")
    return channels, height, width
