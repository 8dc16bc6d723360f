"""SCHP's human parser: ResNet-101, pyramid pooling, a decoder, an edge branch and their fusion.

Modules are named as in the public checkpoints, so that every key has its place. Written after the description in
Self-Correction for Human Parsing (Li et al., 2020).
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

_EPSILON = 1e-5
_SLOPE = 0.01
"""Of the leaky ReLU."""
_BLOCKS = (3, 4, 23, 3)
_EXPANSION = 4
_BINS = (1, 2, 3, 6)
_WIDTH = 256
"""Channels of the branches."""


class Norm(nn.Module):
    """In-place ABN's normalisation. It takes the size of `weight` without its sign, and adds epsilon to it.

    A plain batch normalisation of the same file is wrong wherever a weight is negative: mapillary/inplace_abn, #92.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, values: Tensor) -> Tensor:
        """Normalise N×C×H×W."""
        mean, variance = cast("Tensor", self.running_mean), cast("Tensor", self.running_var)
        scale = self.weight.abs() + _EPSILON
        return functional.batch_norm(values, mean, variance, scale, self.bias, training=False, eps=_EPSILON)


class LeakyNorm(Norm):
    """The normalisation and its leaky ReLU, which are one module in the checkpoints."""

    def forward(self, values: Tensor) -> Tensor:
        """Normalise and activate N×C×H×W."""
        return functional.leaky_relu(super().forward(values), _SLOPE)


class Bottleneck(nn.Module):
    """A residual block. The stride is that of its 3×3 convolution."""

    def __init__(self, channels: int, width: int, stride: int, dilation: int) -> None:
        super().__init__()
        out = width * _EXPANSION
        self.conv1 = _conv(channels, width, 1)
        self.bn1 = Norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = Norm(width)
        self.conv3 = _conv(width, out, 1)
        self.bn3 = Norm(out)
        changes = stride > 1 or channels != out
        self.downsample = nn.Sequential(_conv(channels, out, 1, stride), Norm(out)) if changes else nn.Identity()

    def forward(self, values: Tensor) -> Tensor:
        """N×C×H×W to N×4·width×H/stride×W/stride."""
        inner = functional.relu(self.bn1(self.conv1(values)))
        inner = functional.relu(self.bn2(self.conv2(inner)))
        return functional.relu(self.bn3(self.conv3(inner)) + self.downsample(values))


class Pool(nn.Module):
    """Means over `bins`×`bins` windows that cover the map, as products with a matrix.

    Window i reaches from floor(i·n/bins) to ceil((i+1)·n/bins), as in adaptive pooling, for which ONNX has no operator.
    """

    def __init__(self, bins: int) -> None:
        super().__init__()
        self._bins = bins

    def forward(self, values: Tensor) -> Tensor:
        """N×C×H×W to N×C×bins×bins."""
        rows, columns = (self._means(length) for length in values.shape[-2:])
        return rows @ values @ columns.T

    def _means(self, length: int) -> Tensor:
        """The matrix bins×length."""
        means = torch.zeros(self._bins, length)
        for place in range(self._bins):
            start, stop = place * length // self._bins, -(-(place + 1) * length // self._bins)
            means[place, start:stop] = 1 / (stop - start)
        return means


class Pyramid(nn.Module):
    """Pyramid pooling: what surrounds each place, at four scales."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        stages = (nn.Sequential(Pool(bins), _conv(channels, width, 1), LeakyNorm(width)) for bins in _BINS)
        self.stages = nn.ModuleList(stages)
        gathered = channels + len(_BINS) * width
        self.bottleneck = nn.Sequential(_conv(gathered, width, 3), LeakyNorm(width))

    def forward(self, values: Tensor) -> Tensor:
        """N×C×H×W to N×width×H×W."""
        priors = [_resized(stage(values), values) for stage in self.stages]
        return cast("Tensor", self.bottleneck(torch.cat([*priors, values], dim=1)))


class Edges(nn.Module):
    """The branch of edges between parts. Its features alone are used; its edge maps are not computed."""

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.conv1 = _branch(_WIDTH, _WIDTH)
        self.conv2 = _branch(2 * _WIDTH, _WIDTH)
        self.conv3 = _branch(4 * _WIDTH, _WIDTH)
        self.conv4 = nn.Conv2d(_WIDTH, classes, 3, padding=1)
        self.conv5 = nn.Conv2d(3 * classes, classes, 1)

    def forward(self, fine: Tensor, middle: Tensor, coarse: Tensor) -> Tensor:
        """The features of three layers: N×768×H×W, as large as `fine`."""
        levels = (self.conv1(fine), self.conv2(middle), self.conv3(coarse))
        return torch.cat([_resized(level, fine) for level in levels], dim=1)


class Decoder(nn.Module):
    """Joins what surrounds each place with the finest layer."""

    def __init__(self, classes: int, fine: int = 48) -> None:
        super().__init__()
        self.conv1 = _branch(2 * _WIDTH, _WIDTH)
        self.conv2 = _branch(_WIDTH, fine)
        self.conv3 = nn.Sequential(
            _conv(_WIDTH + fine, _WIDTH, 1), LeakyNorm(_WIDTH), _conv(_WIDTH, _WIDTH, 1), LeakyNorm(_WIDTH)
        )
        self.conv4 = nn.Conv2d(_WIDTH, classes, 1)

    def forward(self, context: Tensor, fine: Tensor) -> Tensor:
        """The features N×256×H×W, as large as `fine`. The parse without edges, `conv4`, is not computed."""
        joined = torch.cat([_resized(self.conv1(context), fine), self.conv2(fine)], dim=1)
        return cast("Tensor", self.conv3(joined))


class Schp(nn.Module):
    """The whole network. Returns logits float32 N×classes×h×w, the fused parse, at a quarter of the size."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(3, 64, 3, 2), Norm(64)
        self.conv2, self.bn2 = _conv(64, 64, 3), Norm(64)
        self.conv3, self.bn3 = _conv(64, 128, 3), Norm(128)
        self.layer1 = _layer(128, 64, _BLOCKS[0])
        self.layer2 = _layer(256, 128, _BLOCKS[1], stride=2)
        self.layer3 = _layer(512, 256, _BLOCKS[2], stride=2)
        self.layer4 = _layer(1024, 512, _BLOCKS[3], dilation=2)
        self.context_encoding = Pyramid(2048, 512)
        self.edge = Edges()
        self.decoder = Decoder(classes)
        # The third was dropout, which does nothing here. The name is the checkpoints'.
        self.fushion = nn.Sequential(
            _conv(4 * _WIDTH, _WIDTH, 1), LeakyNorm(_WIDTH), nn.Identity(), nn.Conv2d(_WIDTH, classes, 1)
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels float32 N×3×H×W, blue first, normalised."""
        stem = functional.relu(self.bn1(self.conv1(pixels)))
        stem = functional.relu(self.bn2(self.conv2(stem)))
        stem = functional.relu(self.bn3(self.conv3(stem)))
        fine = self.layer1(functional.max_pool2d(stem, 3, 2, padding=1))
        middle = self.layer2(fine)
        coarse = self.layer3(middle)
        parsing = self.decoder(self.context_encoding(self.layer4(coarse)), fine)
        return cast("Tensor", self.fushion(torch.cat([parsing, self.edge(fine, middle, coarse)], dim=1)))


def _layer(channels: int, width: int, blocks: int, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    first = Bottleneck(channels, width, stride, dilation)
    return nn.Sequential(first, *(Bottleneck(width * _EXPANSION, width, 1, dilation) for _ in range(1, blocks)))


def _branch(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(_conv(channels, width, 1), LeakyNorm(width))


def _conv(channels: int, width: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, width, kernel, stride, padding=kernel // 2, bias=False)


def _resized(values: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(values, size=like.shape[-2:], mode="bilinear", align_corners=True)
