"""Label maps as callers send them: a PNG whose grey values, or palette indices, are labels."""

import struct
import zlib

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from vision.arrays import LabelMap
from vision.container import PNG_SIGNATURE
from vision.face.errors import FaceError
from vision.jpeg import SIGNATURE as JPEG_SIGNATURE
from vision.photo import PhotoError, inspect

MAX_LABELS = 32
"""More different values than any face parser has: a map with more was scaled smoothly, or stored with loss."""
MAX_PIXELS = 25_000_000
HIGHEST_LABEL = 255
MAX_CHANGES, SMALL = 0.1, 65_536
"""Share of neighbouring pixels in a row that may differ: outlines are a few thousandths of a label map, noise is
nearly all. Maps of fewer pixels than SMALL may be coarse."""

DEPTH, COLOR_TYPE, CHECKSUM = 24, 25, 29
"""Offsets in a PNG file."""
GREYSCALE, PALETTE = 0, 3
WHOLE_BYTE = 8
COLOR_CHANNELS = 3


def read_label_map(data: bytes) -> LabelMap:
    """Read H×W labels of 8 bits: from greyscale of any depth, palette indices, or colours with R = G = B.

    Transparency is left out. Raises FaceError (segmentation_unsupported, label_map_*).
    """
    if data.startswith(JPEG_SIGNATURE):
        raise FaceError("label_map_lossy", "the label map is a JPEG, whose compression alters labels; send it as PNG")
    if not data.startswith(PNG_SIGNATURE):
        raise FaceError(
            "segmentation_unsupported", "the segmentation is neither a PNG of labels nor {region name: [indices]}"
        )
    label_map = _labels(_channel(_decode(data)))
    _check(label_map)
    return label_map


def labels_in(label_map: LabelMap) -> list[int]:
    """List the labels that occur, without the background."""
    counts = cv2.calcHist([label_map], [0], None, [256], [0, 256]).ravel()
    return [int(label) for label in np.flatnonzero(counts) if label]


def _decode(data: bytes) -> MatLike:
    try:
        inspect(data, max_pixels=MAX_PIXELS)
        decoded = cv2.imdecode(np.frombuffer(_as_greyscale(data), dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    except PhotoError as error:
        raise FaceError("label_map_unreadable", f"label map: {error.detail}") from error
    except cv2.error as error:
        raise FaceError("label_map_unreadable", "label map: the png cannot be decoded") from error
    if decoded is None:
        raise FaceError("label_map_unreadable", "label map: the png cannot be decoded")
    if data[COLOR_TYPE] in {GREYSCALE, PALETTE} and data[DEPTH] < WHOLE_BYTE:
        return np.floor_divide(decoded, 255 // (2 ** data[DEPTH] - 1))  # the decoder spreads few levels to 0–255
    return decoded


def _as_greyscale(data: bytes) -> bytes:
    """Call palette indices grey values, so that the decoder gives them back and not their colours."""
    if data[COLOR_TYPE] != PALETTE:
        return data
    header = data[12:COLOR_TYPE] + bytes([GREYSCALE]) + data[COLOR_TYPE + 1 : CHECKSUM]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[CHECKSUM + 4 :]


def _channel(decoded: MatLike) -> MatLike:
    if decoded.ndim < COLOR_CHANNELS:
        return decoded
    first, *others = cv2.split(decoded)[:COLOR_CHANNELS]
    if any(np.any(first != other) for other in others):
        raise FaceError(
            "label_map_corrupt", "the label map is in colours; send labels as grey values or with a palette"
        )
    return first


def _labels(channel: MatLike) -> LabelMap:
    highest = int(channel.max())
    if highest > HIGHEST_LABEL:
        raise FaceError("label_map_corrupt", f"the label map has the value {highest}; labels go up to {HIGHEST_LABEL}")
    labels: NDArray[np.uint8] = np.ascontiguousarray(channel, dtype=np.uint8)
    return labels


def _check(label_map: LabelMap) -> None:
    count = len(labels_in(label_map))
    if not count:
        raise FaceError("label_map_empty", "the label map is all background (0); every region needs its number")
    if count > MAX_LABELS:
        raise FaceError(
            "label_map_corrupt",
            f"the label map has {count} different values, more than {MAX_LABELS}: it holds no labels, or was scaled "
            "smoothly or stored with loss; scale it nearest and send PNG",
        )
    changes = np.count_nonzero(label_map[:, 1:] != label_map[:, :-1]) / label_map.size
    if label_map.size > SMALL and changes > MAX_CHANGES:
        raise FaceError(
            "label_map_corrupt", f"labels change at {changes:.0%} of the pixels: it is noise or dithered, no label map"
        )
