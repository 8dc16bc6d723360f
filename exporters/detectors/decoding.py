"""Decoding in numpy: outputs of common detectors, of one image, to rows; what the graph's own tail is held against."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

MOST = 1000
"""Rows of an image: what non-maximum suppression is given."""
_STRIDES = (8, 16, 32)


def yolov8(output: Array, _size: tuple[int, int]) -> Array:
    """(4+C)×A: centre and size in input pixels, then probabilities."""
    return _best(output[:2].T, output[2:4].T, output[4:].T)


def yolov5(output: Array, _size: tuple[int, int]) -> Array:
    """A×(5+C): centre and size in input pixels, objectness, then probabilities given an object."""
    return _best(output[:, :2], output[:, 2:4], output[:, 4:5] * output[:, 5:])


def yolox(output: Array, size: tuple[int, int]) -> Array:
    """A×(5+C): centre and logarithm of the size in cells, relative to the cell; objectness, probabilities."""
    origin, stride = grid(size)
    centre, extent = (output[:, :2] + origin) * stride, np.exp(output[:, 2:4]) * stride
    return _best(centre, extent, output[:, 4:5] * output[:, 5:])


def rows(output: Array, _size: tuple[int, int]) -> Array:
    """K×6: rows already."""
    chosen: Array = output[np.argsort(-output[:, 4], kind="stable")[:MOST]]
    return chosen


def grid(size: tuple[int, int]) -> tuple[Array, Array]:
    """Column and row A×2 and stride A×1 of each cell, for an input of `size`: finest grid first, row by row."""
    width, height = size
    origins, strides = [], []
    for stride in _STRIDES:
        row, column = np.mgrid[: height // stride, : width // stride]
        origins.append(np.column_stack((column.ravel(), row.ravel())))
        strides.append(np.full((row.size, 1), stride))
    return np.concatenate(origins).astype(np.float32), np.concatenate(strides).astype(np.float32)


def _best(centre: Array, extent: Array, scores: Array) -> Array:
    classes = scores.argmax(axis=1)
    best = scores.max(axis=1)
    values = np.column_stack((centre - extent / 2, centre + extent / 2, best, classes)).astype(np.float32)
    chosen: Array = values[np.argsort(-best, kind="stable")[:MOST]]
    return chosen
