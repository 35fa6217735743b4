"""SEW-ResNet18 (Fang et al., NeurIPS 2021): a ResNet whose shortcuts ADD spikes, with IF neurons in the paper's recipe."""

from __future__ import annotations

from spikingjelly.activation_based import layer
from torch import Tensor, nn

from filopodia.prune.config import NetConfig
from filopodia.prune.nets import make_neuron


class Block(nn.Module):
    """Two conv-bn-neuron layers and a shortcut; the output is the sum of both paths' spikes, so it can be 2 and more."""

    def __init__(self, config: NetConfig, channels: int, wide: int, stride: int) -> None:
        super().__init__()
        self.conv1 = layer.Conv2d(channels, wide, 3, stride=stride, padding=1, bias=False)
        self.bn1 = layer.BatchNorm2d(wide)
        self.spike1 = make_neuron(config)
        self.conv2 = layer.Conv2d(wide, wide, 3, padding=1, bias=False)
        self.bn2 = layer.BatchNorm2d(wide)
        self.spike2 = make_neuron(config)
        self.down = nn.Sequential()
        if stride != 1 or channels != wide:
            self.down.add_module("conv", layer.Conv2d(channels, wide, 1, stride=stride, bias=False))
            self.down.add_module("bn", layer.BatchNorm2d(wide))
            self.down.add_module("spike", make_neuron(config))

    def forward(self, x: Tensor) -> Tensor:
        """Spikes [T, N, C, H, W] to spikes."""
        out = self.spike1(self.bn1(self.conv1(x)))
        out = self.spike2(self.bn2(self.conv2(out)))
        added: Tensor = out + self.down(x)
        return added


class SEWResNet(nn.Module):
    """Stem, four stages of two blocks, global average, and a linear layer that does not spike."""

    def __init__(self, config: NetConfig, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        # The ImageNet stem (7 × 7, stride 2, pooling) would leave nothing of images under 64 pixels.
        large = shape[1] >= 64
        self.conv1 = layer.Conv2d(
            shape[0], 64, 7 if large else 3, stride=2 if large else 1, padding=3 if large else 1, bias=False
        )
        self.bn1 = layer.BatchNorm2d(64)
        self.spike1 = make_neuron(config)
        self.pool1 = layer.MaxPool2d(3, 2, 1) if large else nn.Identity()
        blocks, channels = list[nn.Module](), 64
        for stage, wide in enumerate((64, 128, 256, 512)):
            blocks += [Block(config, channels, wide, 1 if stage == 0 else 2), Block(config, wide, wide, 1)]
            channels = wide
        self.blocks = nn.Sequential(*blocks)
        self.pool = layer.AdaptiveAvgPool2d((1, 1))
        self.flatten = layer.Flatten()
        self.fc = layer.Linear(512, classes * config.votes)

    def forward(self, x: Tensor) -> Tensor:
        """[T, N, C, H, W] to values [T, N, classes·votes]; their mean over time are the logits."""
        x = self.pool1(self.spike1(self.bn1(self.conv1(x))))
        values: Tensor = self.fc(self.flatten(self.pool(self.blocks(x))))
        return values


def sew_resnet18(config: NetConfig, shape: tuple[int, ...], classes: int) -> SEWResNet:
    """The 18-layer one for samples of `shape` [C, H, W]."""
    return SEWResNet(config, shape, classes)
