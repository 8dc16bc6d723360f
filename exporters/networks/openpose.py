"""OpenPose's body network of COCO's 18 joints: VGG-19's first layers, then six stages of two branches.

Convolutions are named as in the public checkpoint, which knows no modules. Written after Realtime Multi-Person 2D Pose
Estimation using Part Affinity Fields (Cao et al., 2017).
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

HEATMAPS, FIELDS, FEATURES = 19, 38, 128
"""Channels: 18 joints and the background; x and y of 19 limbs; the first layers' output."""
STAGES = 6
_BRANCHES = (("L1", FIELDS), ("L2", HEATMAPS))
_FIRST = (
    *(("conv1_1", 3, 64), ("conv1_2", 64, 64), ("conv2_1", 64, 128), ("conv2_2", 128, 128)),
    *(("conv3_1", 128, 256), ("conv3_2", 256, 256), ("conv3_3", 256, 256), ("conv3_4", 256, 256)),
    *(("conv4_1", 256, 512), ("conv4_2", 512, 512), ("conv4_3_CPM", 512, 256), ("conv4_4_CPM", 256, FEATURES)),
)
"""Name, channels in, channels out of the first layers' 3×3 convolutions."""
_POOLED = ("conv1_2", "conv2_2", "conv3_4")
"""What is halved afterwards."""


class OpenPose(nn.Module):
    """The whole network. Returns heatmaps N×19×h×w and fields N×38×h×w, float32, at an eighth of the size."""

    def __init__(self) -> None:
        super().__init__()
        for name, channels, width in _FIRST:
            self.add_module(name, nn.Conv2d(channels, width, 3, padding=1))
        for stage in range(1, STAGES + 1):
            for branch, outputs in _BRANCHES:
                for name, channels, width, kernel in _stage(stage, branch, outputs):
                    self.add_module(name, nn.Conv2d(channels, width, kernel, padding=kernel // 2))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels float32 N×3×H×W, blue first, from -0.5 to 0.5; sides are multiples of 8.

        The last heatmap gets the ReLU that the original gives it by a slip of names; the checkpoint was used with it.
        """
        features = self._features(pixels)
        known = features
        for stage in range(1, STAGES + 1):
            fields, heatmaps = (self._branch(stage, branch, outputs, known) for branch, outputs in _BRANCHES)
            known = torch.cat([fields, heatmaps, features], dim=1)
        return functional.relu(heatmaps), fields

    def _features(self, values: Tensor) -> Tensor:
        for name, _, _ in _FIRST:
            values = functional.relu(self.get_submodule(name)(values))
            if name in _POOLED:
                values = functional.max_pool2d(values, 2, 2)
        return values

    def _branch(self, stage: int, branch: str, outputs: int, values: Tensor) -> Tensor:
        """A ReLU follows each convolution but the last."""
        *inner, last = (name for name, _, _, _ in _stage(stage, branch, outputs))
        for name in inner:
            values = functional.relu(self.get_submodule(name)(values))
        result: Tensor = self.get_submodule(last)(values)
        return result


def _stage(stage: int, branch: str, outputs: int) -> Iterator[tuple[str, int, int, int]]:
    """Name, channels in, channels out and kernel of each convolution of a branch."""
    if stage == 1:
        for number in (1, 2, 3):
            yield f"conv5_{number}_CPM_{branch}", FEATURES, 128, 3
        yield f"conv5_4_CPM_{branch}", 128, 512, 1
        yield f"conv5_5_CPM_{branch}", 512, outputs, 1
        return
    for number in range(1, 6):
        channels = FIELDS + HEATMAPS + FEATURES if number == 1 else 128
        yield f"Mconv{number}_stage{stage}_{branch}", channels, 128, 7
    yield f"Mconv6_stage{stage}_{branch}", 128, 128, 1
    yield f"Mconv7_stage{stage}_{branch}", 128, outputs, 1
