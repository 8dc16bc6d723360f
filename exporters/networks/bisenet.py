"""BiSeNet for faces: ResNet-18, a context path with attention, and the fusion of both.

Modules are named as in the public checkpoint, so that every key has its place. Written after BiSeNet (Yu et al., 2018),
with the spatial path that this checkpoint has: the ResNet's layer at an eighth of the size.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

CLASSES = 19
_WIDTH = 128


class Block(nn.Module):
    """A residual block of two 3×3 convolutions."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(channels, width, 3, stride), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = _conv(width, width, 3), nn.BatchNorm2d(width)
        changes = stride > 1 or channels != width
        shortcut = nn.Sequential(_conv(channels, width, 1, stride), nn.BatchNorm2d(width))
        self.downsample = shortcut if changes else nn.Identity()

    def forward(self, values: Tensor) -> Tensor:
        """N×C×H×W to N×width×H/stride×W/stride."""
        inner = functional.relu(self.bn1(self.conv1(values)))
        return functional.relu(self.bn2(self.conv2(inner)) + self.downsample(values))


class ResNet(nn.Module):
    """ResNet-18 without its classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(3, 64, 7, 2), nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(Block(64, 64, 1), Block(64, 64, 1))
        self.layer2 = nn.Sequential(Block(64, 128, 2), Block(128, 128, 1))
        self.layer3 = nn.Sequential(Block(128, 256, 2), Block(256, 256, 1))
        self.layer4 = nn.Sequential(Block(256, 512, 2), Block(512, 512, 1))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The layers at an eighth (128 channels), a sixteenth (256) and a thirty-second (512) of the size."""
        stem = functional.relu(self.bn1(self.conv1(pixels)))
        eighth = self.layer2(self.layer1(functional.max_pool2d(stem, 3, 2, padding=1)))
        sixteenth = self.layer3(eighth)
        return eighth, sixteenth, self.layer4(sixteenth)


class ConvNorm(nn.Module):
    """A convolution, its normalisation and a ReLU."""

    def __init__(self, channels: int, width: int, kernel: int = 3) -> None:
        super().__init__()
        self.conv, self.bn = _conv(channels, width, kernel), nn.BatchNorm2d(width)

    def forward(self, values: Tensor) -> Tensor:
        """N×C×H×W to N×width×H×W."""
        return functional.relu(self.bn(self.conv(values)))


class Attention(nn.Module):
    """Refines a layer: weighs its channels by their means."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv = ConvNorm(channels, width)
        self.conv_atten, self.bn_atten = _conv(width, width, 1), nn.BatchNorm2d(width)

    def forward(self, values: Tensor) -> Tensor:
        """N×C×H×W to N×width×H×W."""
        refined: Tensor = self.conv(values)
        return refined * torch.sigmoid(self.bn_atten(self.conv_atten(_mean(refined))))


class ContextPath(nn.Module):
    """What surrounds each place, from the coarse layers back to an eighth of the size."""

    def __init__(self) -> None:
        super().__init__()
        self.resnet = ResNet()
        self.arm16, self.arm32 = Attention(256, _WIDTH), Attention(512, _WIDTH)
        self.conv_head32, self.conv_head16 = ConvNorm(_WIDTH, _WIDTH), ConvNorm(_WIDTH, _WIDTH)
        self.conv_avg = ConvNorm(512, _WIDTH, 1)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """The finest layer and its context, both N×128×H/8×W/8."""
        eighth, sixteenth, coarse = self.resnet(pixels)
        context = self.arm32(coarse) + self.conv_avg(_mean(coarse))
        context = self.arm16(sixteenth) + self.conv_head32(_enlarged(context, sixteenth))
        return eighth, self.conv_head16(_enlarged(context, eighth))


class Fusion(nn.Module):
    """Joins layer and context, and weighs the channels by their means."""

    def __init__(self, width: int = 2 * _WIDTH) -> None:
        super().__init__()
        self.convblk = ConvNorm(width, width, 1)
        self.conv1, self.conv2 = _conv(width, width // 4, 1), _conv(width // 4, width, 1)

    def forward(self, fine: Tensor, context: Tensor) -> Tensor:
        """Two N×128×H×W to N×256×H×W."""
        joined: Tensor = self.convblk(torch.cat([fine, context], dim=1))
        weights = self.conv2(functional.relu(self.conv1(_mean(joined))))
        return joined * torch.sigmoid(weights) + joined


class Head(nn.Module):
    """Features to logits."""

    def __init__(self, channels: int, width: int, classes: int) -> None:
        super().__init__()
        self.conv = ConvNorm(channels, width)
        self.conv_out = _conv(width, classes, 1)

    def forward(self, values: Tensor) -> Tensor:
        """N×C×H×W to N×classes×H×W."""
        return cast("Tensor", self.conv_out(self.conv(values)))


class BiSeNet(nn.Module):
    """The whole network. Returns logits float32 N×classes×h×w at an eighth of the size.

    The two heads that only training used are loaded and not computed.
    """

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__()
        self.cp = ContextPath()
        self.ffm = Fusion()
        self.conv_out = Head(2 * _WIDTH, 2 * _WIDTH, classes)
        self.conv_out16 = Head(_WIDTH, 64, classes)
        self.conv_out32 = Head(_WIDTH, 64, classes)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels float32 N×3×H×W, RGB, normalised."""
        return cast("Tensor", self.conv_out(self.ffm(*self.cp(pixels))))


def _conv(channels: int, width: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, width, kernel, stride, padding=kernel // 2, bias=False)


def _mean(values: Tensor) -> Tensor:
    """N×C×1×1."""
    return values.mean(dim=(2, 3), keepdim=True)


def _enlarged(values: Tensor, like: Tensor) -> Tensor:
    """The nearest value of each place."""
    return functional.interpolate(values, size=like.shape[-2:], mode="nearest")
