"""Licence plates, by the cascade that comes with OpenCV: for want of a better one, until a user brings a model.

It was trained on Russian plates (60×20 pixels, bright, seen from the front) and takes fences and rows of windows for
plates; of the plates of other countries, slanted or far ones it misses many.
"""

import math
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.affine import invert, transform_points
from vision.arrays import Float32, Float64, Size
from vision.detections import Detections
from vision.nms import class_wise_nms
from vision.photo import Photo

LABEL = "license_plate"
MODEL = "plate_cascade"
_CASCADE = Path(cv2.__file__).parent / "data" / "haarcascade_russian_plate_number.xml"
_SEARCHED_WIDTH = 640
"""Photos and vehicles are searched at this width: the smallest plate found is about a tenth of it wide."""
_SEARCHED_PIXELS = _SEARCHED_WIDTH**2
"""What is higher than wide is searched at this many, so that no shape costs more than a square (some 0.1 s)."""
_SEARCHED_VEHICLES = 8
"""The largest: plates of the others are the least readable, and each costs as much as the whole photo."""
_LARGEST_SHARE = 0.5
"""Of a plate in the width that is searched."""
_SCALE_STEP = 1.1
_LEAST_WINDOWS = 3
"""Overlapping windows that must agree; OpenCV's own default."""
_NMS_IOU = 0.3
_NARROWEST = 40
"""Pixels: a vehicle narrower than this shows no plate that anybody could read."""


class PlateFinder:
    """The cascade, loaded once. Not to be shared by threads."""

    def __init__(self) -> None:
        self._cascade = cv2.CascadeClassifier(str(_CASCADE))

    def find(self, photo: Photo, size: Size, vehicles: Float32) -> Detections:
        """Plates in a photo of `size` source pixels: in the whole of it, and larger in the largest of `vehicles` N×4.

        The score is the share of windows that agree beyond doubt, n / (n + 3): three windows score 0.5.
        """
        grey = np.asarray(cv2.cvtColor(photo.pixels, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        corners = transform_points(_largest(vehicles).reshape(-1, 2), photo.from_source).reshape(-1, 4)
        height, width = grey.shape
        regions = np.vstack(([(0, 0, width, height)], corners))
        found = [self._search(grey, region) for region in _whole_pixels(regions, (width, height))]
        boxes = np.vstack([np.empty((0, 4)), *(boxes for boxes, _ in found)])
        scores = np.concatenate([np.empty(0, np.float32), *(scores for _, scores in found)])
        boxes = transform_points(boxes.reshape(-1, 2), invert(photo.from_source)).reshape(-1, 4)
        boxes = np.clip(boxes, 0, (*size, *size))
        kept = class_wise_nms(boxes, scores, np.zeros(len(boxes), np.int64), _NMS_IOU)
        return Detections(boxes[kept].astype(np.float32), scores[kept], (LABEL,) * len(kept), MODEL)

    def _search(self, grey: NDArray[np.uint8], region: NDArray[np.int64]) -> tuple[Float64, Float32]:
        """Boxes K×4 in pixels of `grey`, and their scores."""
        x1, y1, x2, y2 = region.tolist()
        scale = min(_SEARCHED_WIDTH / (x2 - x1), math.sqrt(_SEARCHED_PIXELS / ((x2 - x1) * (y2 - y1))))
        crop = cv2.resize(grey[y1:y2, x1:x2], None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        largest = (round(crop.shape[1] * _LARGEST_SHARE), crop.shape[0])
        found, windows = self._cascade.detectMultiScale2(crop, _SCALE_STEP, _LEAST_WINDOWS, maxSize=largest)
        boxes = np.asarray(found, dtype=np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        agreeing = np.asarray(windows, dtype=np.float32).reshape(-1)
        return boxes / scale + (x1, y1, x1, y1), agreeing / (agreeing + _LEAST_WINDOWS)


def _largest(vehicles: Float32) -> Float64:
    """The _SEARCHED_VEHICLES largest of N×4."""
    areas = np.prod(vehicles[:, 2:] - vehicles[:, :2], axis=1)
    largest: Float64 = vehicles[np.argsort(-areas, kind="stable")[:_SEARCHED_VEHICLES]].astype(np.float64)
    return largest


def _whole_pixels(regions: Float64, size: Size) -> NDArray[np.int64]:
    """Regions N×4 rounded and clipped to a frame of `size`; those too narrow for a plate are left out."""
    whole = np.clip(np.round(regions), 0, (*size, *size)).astype(np.int64)
    return whole[(whole[:, 2] - whole[:, 0] >= _NARROWEST) & (whole[:, 3] - whole[:, 1] >= _NARROWEST)]
