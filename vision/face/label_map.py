"""Label maps as callers send them: PNGs whose grey values, or palette indices, are labels."""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from vision.arrays import LabelMap
from vision.face.options import FaceError
from vision.jpeg import SIGNATURE as JPEG_SIGNATURE
from vision.photo import PhotoError, inspect
from vision.photo_stripping import PNG_SIGNATURE

MAX_LABELS = 32
"""More different values than any face parser uses. A map with more was scaled smoothly, or stored with loss."""
MAX_PIXELS = 25_000_000
HIGHEST_LABEL = 255
MAX_CHANGES, SMALL = 0.1, 65_536
"""Share of neighbouring pixels in a row that may differ. Outlines are a few thousandths of a label map, noise is nearly
all of it. Maps with fewer pixels than SMALL may be coarse."""

ONE_PIXEL, FEW_PIXELS = 1, 4
"""Lengths of the stretch between two labels. An edge smoothed once is one pixel wide. Enlarged up to eight times, it
has steps of a few pixels where labels are close to each other."""
MOST_ONE_PIXEL, MOST_FEW_PIXELS = 0.1, 0.75
"""Share of edges that may have a stretch between them, ONE_PIXEL or FEW_PIXELS long. Measured: at most 0.03 and 0.1 in
faces, 0.07 and 0.23 in maps of rough noise; 0.2 and more where smoothed edges were scaled to 0.3 of their size."""
TINY, MOST_IN_TINY = 16_384, 0.22
"""In a map with fewer pixels, regions are rough and as thin as edges. Rough noise reached 0.2."""
ONE_LABEL = 0.9
"""Share of the stretches between that has one label where outlines were drawn. Smoothing gives all values between."""
LEAST_SPAN = 3
FEWEST_EDGES = 16
"""Fewer edges with a stretch between prove nothing."""

DEPTH, COLOR_TYPE, CHECKSUM = 24, 25, 29
"""Offsets in a PNG file."""
GREYSCALE, PALETTE = 0, 3
WHOLE_BYTE = 8
COLOR_CHANNELS = 3


def read_label_map(data: bytes) -> LabelMap:
    """Read H×W labels of 8 bits from greyscale of any depth, palette indices, or colours with R = G = B.

    Transparency is ignored. A map scaled with smoothing (bilinear, bicubic, Lanczos, area) is refused: `_is_smoothed`
    has the rule and its limits. Raises FaceError (segmentation_unsupported, label_map_*).
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
        levels: MatLike = np.floor_divide(decoded, 255 // (2 ** data[DEPTH] - 1))
        return levels  # the decoder spreads few levels to 0–255
    return decoded


def _as_greyscale(data: bytes) -> bytes:
    """Mark palette indices as grey values, so that the decoder returns indices instead of colours."""
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
    if _is_smoothed(label_map):
        raise FaceError(
            "label_map_lossy",
            "the label map was scaled with smoothing, which puts labels between others that are no such regions; "
            "scale it nearest",
        )


def _is_smoothed(label_map: LabelMap) -> bool:
    """Tell whether edges between labels have other labels in between all along, as smoothing makes them.

    Between labels 0 and 10, smoothing invents a 3, a 5 or an 8, one or a few pixels wide. A true map goes from 0 to 10
    at once, except where a region is that thin. So the share of edges with something between, along rows and columns,
    decides.

    JPEG has the same effect. So a map that was a JPEG and was then saved as PNG is found too.

    Limits: Between labels that differ by one, smoothing invents nothing and nothing is found. Where all labels differ
    by two or three, as in a map of three labels, a third of the maps reduced to 0.3 pass. A map doubled with a Hamming
    filter, or reduced to 0.9 with Pillow's box filter, is nearest except for a few pixels, and may pass. A true map is
    refused if a tenth of its edges run through one-pixel outlines with several labels, each between those on its sides,
    or through outlines of label 1 around label 2.
    """
    edges = [_edges(lines) for lines in (label_map, np.ascontiguousarray(label_map.T))]
    most = MOST_ONE_PIXEL if label_map.size >= TINY else MOST_IN_TINY
    return _share(edges, ONE_PIXEL) > most or _share(edges, FEW_PIXELS) > MOST_FEW_PIXELS


@dataclass(frozen=True, slots=True, eq=False)
class _Edges:
    """Stretches of one label along the lines of a map: `labels` and `lengths` of each.

    `between` are the stretches with a lower label on one side and a higher one on the other. `steps` are the
    differences to the next stretch, 0 at the end of a line.
    """

    labels: LabelMap
    lengths: NDArray[np.int64]
    between: NDArray[np.bool_]
    steps: NDArray[np.int64]


def _edges(lines: LabelMap) -> _Edges:
    changes = np.ones(lines.shape, dtype=np.bool_)
    np.not_equal(lines[:, 1:], lines[:, :-1], out=changes[:, 1:])
    starts = np.flatnonzero(changes)
    labels = lines.ravel()[starts]
    steps = np.asarray(np.diff(labels.astype(np.int64), append=0), np.int64)
    steps[np.append(starts[1:] % lines.shape[1] == 0, True)] = 0
    between = np.zeros(starts.size, dtype=np.bool_)
    between[1:] = np.sign(steps[1:]) * np.sign(steps[:-1]) > 0
    return _Edges(labels, np.diff(starts, append=lines.size), between, steps)


def _share(edges: Sequence[_Edges], longest: int) -> float:
    """Of the edges between labels more than one apart, the share with stretches of at most `longest` pixels between."""
    thin = [one.between & (one.lengths <= longest) for one in edges]
    smoothed = sum(int(np.count_nonzero(chosen[1:] & ~chosen[:-1])) for chosen in thin)
    if smoothed < FEWEST_EDGES or _is_outline(edges, thin):
        return 0.0
    sharp = sum(
        int(np.count_nonzero((abs(one.steps[:-1]) > 1) & ~chosen[1:] & ~chosen[:-1]))
        for one, chosen in zip(edges, thin, strict=True)
    )
    return smoothed / (smoothed + sharp)


def _is_outline(edges: Sequence[_Edges], thin: Sequence[NDArray[np.bool_]]) -> bool:
    """Tell whether nearly all stretches between have one label, where there is room for three or more."""
    pairs = list(zip(edges, thin, strict=True))
    labels = np.concatenate([one.labels[chosen] for one, chosen in pairs])
    spans = np.concatenate([(abs(one.steps) + abs(np.roll(one.steps, 1)))[chosen] for one, chosen in pairs])
    return bool(np.bincount(labels).max() >= ONE_LABEL * labels.size and np.median(spans) > LEAST_SPAN)
