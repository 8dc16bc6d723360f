"""An object detector's input, and the objects in its output rows.

Every detector returns rows of x1, y1, x2, y2 in input pixels, score in 0…1, class index; best first, before
suppression. A detector that knows the corners of an object appends four x, y, clockwise from the object's top left.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vision.affine import invert, transform_points
from vision.arrays import RGB, Affine, Float32, Float64, Size
from vision.nms import class_wise_nms, covered_shares
from vision.tiles import Fit, Tile, View, bordered, fit_affine, place, size_within

HALF = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """What one model found: `boxes` N×4 in source pixels, `scores` N in 0…1, `labels` N names.

    `corners` N×4×2 in source pixels, clockwise from the object's own top left, are there if the model gives them. They
    may lie outside the photo. `cut`, N booleans, marks boxes that end at the edge of the model's view.
    """

    boxes: Float32
    scores: Float32
    labels: tuple[str, ...]
    model: str
    cut: NDArray[np.bool_]
    corners: Float32 | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def joined(cls, parts: Sequence["Detections"]) -> "Detections":
        """The detections of all parts. There is at least one part, and all are of one model."""
        corners = [part.corners for part in parts if part.corners is not None]
        return cls(
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.scores for part in parts]),
            tuple(label for part in parts for label in part.labels),
            parts[0].model,
            np.concatenate([part.cut for part in parts]),
            np.concatenate(corners) if len(corners) == len(parts) else None,
        )

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> "Detections":
        """The detections that `chosen` selects: N booleans, or indices in any order."""
        labels = tuple(self.labels[index] for index in np.arange(len(self))[chosen])
        corners = None if self.corners is None else self.corners[chosen]
        return replace(
            self, boxes=self.boxes[chosen], scores=self.scores[chosen], labels=labels, cut=self.cut[chosen],
            corners=corners,
        )  # fmt: skip

    def distinct(self, iou: float) -> "Detections":
        """Each object once, best first: the best of the boxes of a class that overlap by more than `iou`.

        A box that was cut off yields to any whole box of its class that covers half of it.
        """
        order = {label: index for index, label in enumerate(dict.fromkeys(self.labels))}
        classes = np.array([order[label] for label in self.labels], dtype=np.int64)
        whole = np.flatnonzero(~self.cut)
        whole = whole[class_wise_nms(self.boxes[whole], self.scores[whole], classes[whole], iou)]
        cut = np.flatnonzero(self.cut)
        same = classes[cut, np.newaxis] == classes[whole]
        hidden = ((covered_shares(self.boxes[cut], self.boxes[whole]) > HALF) & same).any(axis=1)
        cut = cut[~hidden]
        cut = cut[class_wise_nms(self.boxes[cut], self.scores[cut], classes[cut], iou)]
        kept = np.concatenate((whole, cut))
        return self.select(kept[np.argsort(-self.scores[kept], kind="stable")])


_BOX, _SCORE, _CLASS, _CORNERS = slice(0, 4), 4, 5, slice(6, 14)
_WITH_CORNERS = 14
SMALLEST = 32
"""Input pixels: the size of objects that detectors trained on COCO see well. It is COCO's own limit of small objects.
"""


@dataclass(frozen=True, slots=True)
class Scout:
    """A faster network that says where to look. A score of `score` at half the scale may be an object."""

    model: str
    score: float


@dataclass(frozen=True, slots=True)
class ObjectDetector:
    """One model: labels by class index, its input, and the IoU above which boxes of a class are one object.

    `size` is the input's size. If there is a `multiple`, `size` is the largest input, and the input takes the photo's
    aspect ratio in whole multiples. The model recognises objects at least `smallest` input pixels wide. To recognise
    objects that fill the photo, it also looks at the whole photo in `halvings` smaller inputs, each half of the one
    before.
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
        """A whole photo of `size` in one input, halved so many times if its size is free."""
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

        Boxes are in pixels of the photo, clipped to the tile and the photo. Overlapping boxes are not removed.
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
        """Which rows have a class with a label. Some models fill up their rows with class -1."""
        named: NDArray[np.bool_] = (rows[:, _CLASS] >= 0) & (rows[:, _CLASS] < len(self.labels))
        return named


def _corners(rows: Float32, from_window: Affine, tile: Tile) -> Float32 | None:
    if rows.shape[1] < _WITH_CORNERS:
        return None
    corners = _from_input(rows[:, _CORNERS], from_window).reshape(-1, 4, 2)
    return (corners + tile.origin).astype(np.float32)


def _from_input(points: Float32, from_window: Affine) -> Float64:
    """For rows of x, y pairs."""
    pairs = points.astype(np.float64).reshape(-1, 2)
    return transform_points(pairs, invert(from_window)).reshape(points.shape)
