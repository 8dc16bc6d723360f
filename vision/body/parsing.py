"""What a human parser (SCHP) sees of a photo, and the label map in the photo that its logits give.

Facts: SCHP's simple extractor. Its labels are those of ATR, LIP or Pascal-Person-Part. `atr_labels` turns each into the
ATR labels that the mask builder knows, and `with_neck` adds the neck, which only two parsers together show.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np

from vision.arrays import RGB, Affine, Box, Float32, Float64, LabelMap, Mask, Size
from vision.body.mask_types import Atr
from vision.body.masks import ARMS, LIMIT

BAND = 1 << 18
"""About so many pixels are labelled at a time, so that a photo of any size needs little memory beside its labels."""


@dataclass(frozen=True, slots=True)
class ParserWindow:
    """The square of a photo that is drawn into a parser's input of `side` pixels.

    `center` and `extent`, the distance from the first pixel to the last, count from pixel centres, as SCHP does.
    """

    center: tuple[float, float]
    extent: float
    side: int

    @property
    def to_network(self) -> Affine:
        """Map pixel centres of the photo to pixel centres of the input."""
        scale, middle = (self.side - 1) / self.extent, (self.side - 1) / 2
        x, y = self.center
        return np.array([[scale, 0.0, middle - scale * x], [0.0, scale, middle - scale * y]])


def window_about(box: Box, side: int) -> ParserWindow:
    """The smallest square about a box. The whole photo is the box (0, 0, width, height)."""
    x1, y1, x2, y2 = box
    return ParserWindow(((x1 + x2 - 1) / 2, (y1 + y2 - 1) / 2), max(x2 - x1 - 1, y2 - y1 - 1, 1.0), side)


def parser_input(pixels: RGB, window: ParserWindow) -> RGB:
    """Draw the window into side×side×3, bilinear. Beyond the photo is black."""
    size = (window.side, window.side)
    return np.asarray(cv2.warpAffine(pixels, window.to_network, size, flags=cv2.INTER_LINEAR), dtype=np.uint8)


def label_map(logits: Float32, window: ParserWindow, size: Size) -> LabelMap:
    """Label every pixel of a photo of `size` with the largest of the fused logits C×h×w there. Outside is label 0.

    As in the original, each channel is enlarged to the input (bilinear, corners aligned), then drawn into the photo.
    """
    channels = _enlarged(logits, window.side)
    labels = np.zeros(size[::-1], dtype=np.uint8)
    step = max(BAND // size[0], 1)
    for top in range(0, size[1], step):
        _label(labels[top : top + step], channels, _shifted(window.to_network, top))
    return labels


def _enlarged(logits: Float32, side: int) -> Float32:
    """C×side×side, bilinear with aligned corners."""
    down, across = (_bilinear(cells, side) for cells in logits.shape[1:])
    return np.asarray(down @ logits @ across.T, dtype=np.float32)


def _bilinear(cells: int, side: int) -> Float32:
    place = np.arange(side, dtype=np.float32) * np.float32((cells - 1) / (side - 1))
    weights: Float32 = np.maximum(1 - np.abs(place[:, np.newaxis] - np.arange(cells, dtype=np.float32)), 0)
    return weights


def _shifted(affine: Affine, top: int) -> Affine:
    """The map of a part of the photo that starts `top` rows below."""
    shifted = affine.copy()
    shifted[:, 2] += affine[:, 1] * top
    return shifted


def _label(labels: LabelMap, channels: Float32, to_network: Affine) -> None:
    """Write into `labels`, zeros before, the first of the largest channels."""
    size, flags = labels.shape[::-1], cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    best = cv2.warpAffine(channels[0], to_network, size, flags=flags)
    for label, channel in enumerate(channels[1:], start=1):
        plane = cv2.warpAffine(channel, to_network, size, flags=flags)
        np.copyto(labels, np.uint8(label), where=plane > best)
        cv2.max(plane, best, dst=best)


NECK_FACE = 13
"""LIP's face, which ends at the chin. ATR's reaches down to the collar."""
LARGE_HOLE = 2000
"""A hole with more pixels inside its contour is no fault of the parser but what is behind an arm."""
_BODY = (Atr.UPPER_CLOTHES, Atr.LEFT_ARM, Atr.RIGHT_ARM)


def with_neck(atr: LabelMap, lip: LabelMap) -> LabelMap:
    """Label as neck what is face to ATR and not to LIP, in a copy of the ATR map. Both maps are of one frame."""
    labels = atr.copy()
    labels[(atr == Atr.FACE) & (lip != NECK_FACE)] = Atr.NECK
    return labels


def without_holes(atr: LabelMap) -> LabelMap:
    """Fill the holes of the upper clothes and arms with upper clothes, in a copy. LARGE_HOLE says which stay."""
    holes = _enclosed(_labelled(atr, _BODY))
    contours, _ = cv2.findContours(holes, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    large = [contour for contour in contours if cv2.contourArea(contour) > LARGE_HOLE]
    cv2.drawContours(holes, large, -1, (0,), cv2.FILLED)
    labels = atr.copy()
    labels[holes > 0] = Atr.UPPER_CLOTHES
    return labels


def _labelled(label_map: LabelMap, labels: Collection[int]) -> Mask:
    return np.isin(label_map, list(labels)).astype(np.uint8) * np.uint8(255)


def _enclosed(mask: Mask) -> Mask:
    """What no path over side by side zeros joins to the outside of the mask."""
    filled = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(0,))
    cv2.floodFill(filled, None, (0, 0), (255,))
    return np.ascontiguousarray(cv2.bitwise_not(filled)[1:-1, 1:-1], dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class ParserLabels:
    """A data set's labels: the ATR label that has the same part in the mask rules, and arms whose side is not said."""

    atr: tuple[Atr, ...]
    unsided_arms: tuple[int, ...] = ()


ATR = ParserLabels(tuple(Atr)[:18])
LIP = ParserLabels(
    (
        Atr.BACKGROUND, Atr.HAT, Atr.HAIR, Atr.LEFT_ARM, Atr.SUNGLASSES, Atr.UPPER_CLOTHES, Atr.DRESS,
        Atr.UPPER_CLOTHES, Atr.LEFT_LEG, Atr.PANTS, Atr.DRESS, Atr.SCARF, Atr.SKIRT, Atr.FACE, Atr.LEFT_ARM,
        Atr.RIGHT_ARM, Atr.LEFT_LEG, Atr.RIGHT_LEG, Atr.LEFT_SHOE, Atr.RIGHT_SHOE,
    ),
    unsided_arms=(3,),
)  # fmt: skip
"""A glove is a hand, a coat is a top, a jumpsuit covers what a dress covers. Socks are legs: no rule asks which one."""
PASCAL = ParserLabels(
    (
        Atr.BACKGROUND, Atr.FACE, Atr.UPPER_CLOTHES, Atr.LEFT_ARM, Atr.LEFT_ARM, Atr.PANTS, Atr.LEFT_LEG,
    ),
    unsided_arms=(3, 4),
)  # fmt: skip
"""It knows parts of the body, not clothes: the whole head stays visible, and trousers are taken to end at the knee."""
LABELS_OF: Mapping[int, ParserLabels] = MappingProxyType({len(labels.atr): labels for labels in (ATR, LIP, PASCAL)})
"""By the number of a parser's channels."""


def atr_labels(label_map: LabelMap, labels: ParserLabels, keypoints: Float64) -> LabelMap:
    """Turn a parser's label map into ATR labels. An arm without a side gets that of the nearer arm.

    `keypoints` 18×3 are in the frame of the map.
    """
    table = np.zeros(256, dtype=np.uint8)
    table[: len(labels.atr)] = labels.atr
    turned = np.asarray(cv2.LUT(label_map, table), dtype=np.uint8)
    unsided = np.isin(label_map, labels.unsided_arms)
    if unsided.any():
        turned[unsided] = _nearer_arm(label_map.shape, keypoints)[unsided]
    return turned


def _nearer_arm(shape: tuple[int, ...], keypoints: Float64) -> LabelMap:
    """The label of the nearer arm's bones for every pixel; the left one's where no arm was found."""
    (right, right_bones), (left, left_bones) = (
        (label, _distance(shape, keypoints[list(joints)])) for label, joints in ARMS
    )
    return np.where(right_bones < left_bones, np.uint8(right), np.uint8(left))


def _distance(shape: tuple[int, ...], joints: Float64) -> Float32:
    """Distance to the lines between the joints that were found; infinite without any."""
    found = np.rint(np.clip(joints[joints[:, 2] > 0, :2] - 0.5, -LIMIT, LIMIT)).astype(np.int32)
    bones = cv2.polylines(np.full(shape, 255, dtype=np.uint8), [found], isClosed=False, color=(0,))
    if bones.all():
        return np.full(shape, np.inf, dtype=np.float32)
    return np.asarray(cv2.distanceTransform(bones, cv2.DIST_L2, cv2.DIST_MASK_5), dtype=np.float32)
