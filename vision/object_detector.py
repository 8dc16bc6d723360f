"""How an object detector wants its photo, and what the rows that it answers mean.

Every detector answers rows x1, y1, x2, y2 in input pixels, score in 0…1, class index; best first, none suppressed yet.
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

_BOX, _SCORE, _CLASS = slice(0, 4), 4, 5


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
        """Objects that score `least` or more, from rows K×6, clipped to the photo of `size`; best first."""
        from_source = fit_affine(size, self.input_size(size), self.fit)
        passing = rows[(rows[:, _SCORE] >= least) & np.isfinite(rows).all(axis=1) & self._named(rows)]
        boxes = _to_source(passing[:, _BOX].astype(np.float64), from_source)
        boxes = np.clip(boxes, 0, (*size, *size))
        inside = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        passing, boxes = passing[inside], boxes[inside]
        classes = passing[:, _CLASS].astype(np.int64)
        kept = class_wise_nms(boxes, passing[:, _SCORE], classes, self.iou)
        labels = tuple(self.labels[index] for index in classes[kept])
        return Detections(boxes[kept].astype(np.float32), passing[kept, _SCORE], labels, self.model)

    def _named(self, rows: Float32) -> NDArray[np.bool_]:
        """Which of them are of a class that has a label: some models fill rows up with class -1."""
        named: NDArray[np.bool_] = (rows[:, _CLASS] >= 0) & (rows[:, _CLASS] < len(self.labels))
        return named


def _to_source(boxes: Float64, from_source: Affine) -> Float64:
    return transform_points(boxes.reshape(-1, 2), invert(from_source)).reshape(-1, 4)
