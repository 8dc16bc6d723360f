"""How an object detector wants its photo, and what the rows that it answers mean.

Every detector answers rows x1, y1, x2, y2 in input pixels, score in 0…1, class index; best first, none suppressed yet.
One that knows the corners of what it finds appends four x, y, clockwise from the object's top left.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vision.affine import invert, transform_points
from vision.arrays import RGB, Affine, Float32, Float64, Size
from vision.detections import Detections
from vision.fit import Fit, bordered, fit_affine, place, size_within
from vision.tiles import Tile, View

_BOX, _SCORE, _CLASS, _CORNERS = slice(0, 4), 4, 5, slice(6, 14)
_WITH_CORNERS = 14
SMALLEST = 32
"""Input pixels: what detectors see well that were trained on COCO, whose own limit of small objects this is."""


@dataclass(frozen=True, slots=True)
class Scout:
    """A faster network that says where to look: what scores `score` at half the scale may be an object."""

    model: str
    score: float


@dataclass(frozen=True, slots=True)
class ObjectDetector:
    """One model: its labels by class index, its input, and the IoU above which boxes of a class are one object.

    `size` is the input's; where there is a `multiple`, it is the largest, and the input takes the photo's aspect ratio
    in whole multiples. The model sees what is `smallest` input pixels wide; so that it sees what fills the photo, it
    looks at the whole of it in `halvings` smaller inputs too, each half of the one before.
    """

    model: str
    labels: tuple[str, ...]
    fit: Fit
    size: Size
    iou: float
    multiple: int | None = None
    smallest: int = SMALLEST
    halvings: int = 0
    scout: Scout | None = None

    def whole(self, size: Size, halvings: int = 0) -> Tile:
        """A whole photo of `size` in one input, halved so often where its size is free."""
        if self.multiple is None:
            return Tile.whole(size, self.size)
        width, height = (max(side >> halvings, self.multiple) for side in self.size)
        return Tile.whole(size, size_within(size, (width, height), self.multiple))

    def draw(self, view: View, tile: Tile) -> RGB:
        """A tile of a photo as input H×W×3."""
        left, top, width, height = place(tile.window, tile.input, self.fit)
        inner = view.draw(replace(tile, input=(width, height)))
        return bordered(inner, left, top, tile.input)

    def located(self, rows: Float32, tile: Tile, size: Size, least: float) -> Detections:
        """Objects that score `least` or more, from the rows K×6 or K×14 of a tile of a photo of `size`.

        Boxes are in pixels of the photo, clipped to the tile and the photo. Overlapping ones are all there.
        """
        from_window = fit_affine(tile.window, tile.input, self.fit)
        passing = rows[rows[:, _SCORE] >= least]
        passing = passing[np.isfinite(passing).all(axis=1) & self._named(passing)]
        in_window = np.clip(_from_input(passing[:, _BOX], from_window), 0, tile.window * 2)
        boxes = np.clip(in_window + tile.origin * 2, 0, size * 2).astype(np.float32)
        inside = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        passing, boxes = passing[inside], boxes[inside]
        labels = tuple(self.labels[index] for index in passing[:, _CLASS].astype(np.int64))
        cut = tile.cuts(boxes, size)
        return Detections(boxes, passing[:, _SCORE], labels, self.model, cut, _corners(passing, from_window, tile))

    def _named(self, rows: Float32) -> NDArray[np.bool_]:
        """Which of them are of a class that has a label: some models fill rows up with class -1."""
        named: NDArray[np.bool_] = (rows[:, _CLASS] >= 0) & (rows[:, _CLASS] < len(self.labels))
        return named


def _corners(rows: Float32, from_window: Affine, tile: Tile) -> Float32 | None:
    if rows.shape[1] < _WITH_CORNERS:
        return None
    corners = _from_input(rows[:, _CORNERS], from_window).reshape(-1, 4, 2)
    return (corners + tile.origin).astype(np.float32)


def _from_input(points: Float32, from_window: Affine) -> Float64:
    """Of rows of x, y pairs."""
    pairs = points.astype(np.float64).reshape(-1, 2)
    return transform_points(pairs, invert(from_window)).reshape(points.shape)
