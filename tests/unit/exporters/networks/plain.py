"""BiSeNet and OpenPose once more, without modules: from the descriptions in reference/models.md, B.1 and C."""

import json
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as f

from tests.unit.exporters.networks.drawn import MANIFESTS

Weights = Mapping[str, Tensor]


def openpose(weights: Weights, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Heatmaps and fields of N×3×H×W."""
    names = [pair[0].removesuffix(".weight").split(".") for pair in _key_map() if pair[0].endswith(".weight")]
    branches: dict[str, list[str]] = {}
    for branch, name in names:
        branches.setdefault(branch, []).append(name)
    features = pixels
    for name in branches["model0"]:
        features = f.relu(_biased(weights, name, features))
        if name in {"conv1_2", "conv2_2", "conv3_4"}:
            features = f.max_pool2d(features, 2)
    values = features
    for stage in "123456":
        fields, heatmaps = (_openpose_branch(weights, branches[f"model{stage}_{one}"], values) for one in "12")
        values = torch.cat([fields, heatmaps, features], 1)
    return heatmaps.clamp(min=0), fields


def _openpose_branch(weights: Weights, names: list[str], values: Tensor) -> Tensor:
    for name in names[:-1]:
        values = f.relu(_biased(weights, name, values))
    return _biased(weights, names[-1], values)


def _biased(weights: Weights, name: str, values: Tensor) -> Tensor:
    kernel = weights[f"{name}.weight"]
    return f.conv2d(values, kernel, weights[f"{name}.bias"], padding=(kernel.shape[-1] - 1) // 2)


def _key_map() -> list[tuple[str, str]]:
    return json.loads((MANIFESTS / "openpose_body_key_map.json").read_text())


def bisenet(weights: Weights, pixels: Tensor) -> Tensor:
    """Logits at an eighth of N×3×H×W."""

    def conv(name: str, values: Tensor, stride: int = 1) -> Tensor:
        kernel = weights[f"{name}.weight"]
        return f.conv2d(values, kernel, stride=stride, padding=(kernel.shape[-1] - 1) // 2)

    def norm(name: str, values: Tensor) -> Tensor:
        weight, bias, mean, variance = (
            weights[f"{name}.{part}"][:, None, None] for part in ("weight", "bias", "running_mean", "running_var")
        )
        return (values - mean) / (variance + 1e-5) ** 0.5 * weight + bias

    def block(name: str, values: Tensor, stride: int) -> Tensor:
        inner = norm(f"{name}.bn1", conv(f"{name}.conv1", values, stride)).relu()
        inner = norm(f"{name}.bn2", conv(f"{name}.conv2", inner))
        if f"{name}.downsample.0.weight" in weights:
            values = norm(f"{name}.downsample.1", conv(f"{name}.downsample.0", values, stride))
        return (inner + values).relu()

    def unit(name: str, values: Tensor) -> Tensor:
        return norm(f"{name}.bn", conv(f"{name}.conv", values)).relu()

    def mean(values: Tensor) -> Tensor:
        return values.mean((2, 3), keepdim=True)

    def arm(name: str, values: Tensor) -> Tensor:
        values = unit(f"{name}.conv", values)
        return values * norm(f"{name}.bn_atten", conv(f"{name}.conv_atten", mean(values))).sigmoid()

    def doubled(values: Tensor) -> Tensor:
        return values.repeat_interleave(2, 2).repeat_interleave(2, 3)

    values = f.max_pool2d(norm("cp.resnet.bn1", conv("cp.resnet.conv1", pixels, 2)).relu(), 3, 2, 1)
    layers = []
    for layer in (1, 2, 3, 4):
        values = block(f"cp.resnet.layer{layer}.0", values, 1 if layer == 1 else 2)
        values = block(f"cp.resnet.layer{layer}.1", values, 1)
        layers.append(values)
    _, eighth, sixteenth, coarse = layers
    context = arm("cp.arm32", coarse) + unit("cp.conv_avg", mean(coarse))
    context = arm("cp.arm16", sixteenth) + unit("cp.conv_head32", doubled(context))
    joined = unit("ffm.convblk", torch.cat([eighth, unit("cp.conv_head16", doubled(context))], 1))
    weighed = conv("ffm.conv2", conv("ffm.conv1", mean(joined)).relu()).sigmoid()
    return conv("conv_out.conv_out", unit("conv_out.conv", joined + joined * weighed))
