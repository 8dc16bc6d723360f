"""How an object detector wants its photo, and what the rows that it answers mean.

Every detector answers rows x1, y1, x2, y2 in input pixels, score in 0…1, class index; best first, none suppressed yet.
One that knows the corners of what it finds appends four x, y, clockwise from the object's top left.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vision.affine import invert, transform_points
from vision.arrays import RGB, Affine, Float32, Float64, Size
from vision.detections import Detections
from vision.fit import Fit, fit_affine, fit_photo, size_within
from vision.nms import class_wise_nms
from vision.photo import Photo

_BOX, _SCORE, _CLASS, _CORNERS = slice(0, 4), 4, 5, slice(6, 14)
_WITH_CORNERS = 14


@dataclass(frozen=True, slots=True)
class ObjectDetector:
    """One model: its labels by class index, its input, and the IoU above which boxes of a class are one object.

    `size` is the input's; where there is a `multiple`, it is the largest, and the input takes the photo's aspect ratio
    in whole multiples.
    """

    model: str
    labels: tuple[str, ...]
    fit: Fit
    size: Size
    iou: float
    multiple: int | None = None

    @property
    def decoded_side(self) -> int:
        """Least longer side, in decoded pixels, of what is drawn: twice the input's.

        A JPEG reduced to the input's own size is smoother than the models know: the box of one face in five moved to an
        IoU of 0.83.
        """
        return 2 * max(self.size)

    def input_size(self, size: Size) -> Size:
        """Of the input for a photo of `size`."""
        return self.size if self.multiple is None else size_within(size, self.size, self.multiple)

    def draw(self, photo: Photo, size: Size) -> RGB:
        """A photo of `size` source pixels as input H×W×3."""
        return fit_photo(photo.pixels, size, self.input_size(size), self.fit)

    def detections(self, rows: Float32, size: Size, least: float) -> Detections:
        """Objects that score `least` or more, from rows K×6 or K×14; best first.

        Boxes are clipped to the photo of `size`.
        """
        from_source = fit_affine(size, self.input_size(size), self.fit)
        passing = rows[(rows[:, _SCORE] >= least) & np.isfinite(rows).all(axis=1) & self._named(rows)]
        boxes = np.clip(_to_source(passing[:, _BOX], from_source), 0, (*size, *size))
        inside = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        passing, boxes = passing[inside], boxes[inside]
        classes = passing[:, _CLASS].astype(np.int64)
        kept = class_wise_nms(boxes, passing[:, _SCORE], classes, self.iou)
        labels = tuple(self.labels[index] for index in classes[kept])
        corners = _corners(passing[kept], from_source)
        return Detections(boxes[kept].astype(np.float32), passing[kept, _SCORE], labels, self.model, corners)

    def _named(self, rows: Float32) -> NDArray[np.bool_]:
        """Which of them are of a class that has a label: some models fill rows up with class -1."""
        named: NDArray[np.bool_] = (rows[:, _CLASS] >= 0) & (rows[:, _CLASS] < len(self.labels))
        return named


def _corners(rows: Float32, from_source: Affine) -> Float32 | None:
    if rows.shape[1] < _WITH_CORNERS:
        return None
    return _to_source(rows[:, _CORNERS], from_source).reshape(-1, 4, 2).astype(np.float32)


def _to_source(points: Float32, from_source: Affine) -> Float64:
    """Of rows of x, y pairs."""
    pairs = points.astype(np.float64).reshape(-1, 2)
    return transform_points(pairs, invert(from_source)).reshape(points.shape)
