"""A face's contours: crop the photo upright around the face, outline its regions, draw them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from vision.affine import compose, invert, scale_and_shift, transform_points, warp
from vision.arrays import RGB, Affine, Float64, LabelMap, Size
from vision.face.options import ContourFrame, ContourOptions
from vision.face.parsing import ParsedLabels, PlacedLabels
from vision.face.regions import Region, forehead, label_regions, landmark_regions, ring_regions
from vision.face.segmentation import BACKGROUND, Rings, Segmentation
from vision.face.svg import svg_document
from vision.face.topology import IBUG, LANDMARKS, MESH, Topology
from vision.photo import Photo

MARGIN = 0.1
"""Space on every side of the face, as a share of its longer side."""
MAX_SIDE = 2048
"""Pixels. A larger face is reduced."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A picture of `size`. `from_source` maps source pixels to its pixels."""

    from_source: Affine
    size: Size

    @property
    def rotation(self) -> float:
        """Degrees by which the photo is turned clockwise."""
        return math.degrees(math.atan2(self.from_source[1, 0], self.from_source[0, 0]))

    def of_photo(self, photo: Photo) -> RGB:
        """Draw the photo, bilinear. Beyond the photo its edge is repeated."""
        affine = compose(invert(photo.from_source), self.from_source)
        return warp(photo.pixels, affine, self.size, interpolation=cv2.INTER_LINEAR, border=cv2.BORDER_REPLICATE)

    def of_labels(self, placed: PlacedLabels) -> LabelMap:
        """Draw a label map, nearest pixel. Beyond it is background."""
        affine = compose(placed.to_source, self.from_source)
        return warp(placed.labels, affine, self.size, interpolation=cv2.INTER_NEAREST)


def covering(label_map: LabelMap, size: Size) -> PlacedLabels:
    """Place a label map of any size over a whole photo of `size`."""
    height, width = label_map.shape
    return PlacedLabels(label_map, np.array([[size[0] / width, 0.0, 0.0], [0.0, size[1] / height, 0.0]]))


def levelling(left_eye: Float64, right_eye: Float64) -> Affine:
    """Turn around the middle of the two eye centres, left and right as the viewer sees them, so that they are level."""
    (x, y), (across, down) = (left_eye + right_eye) / 2, right_eye - left_eye
    angle = math.atan2(down, across)
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, sin, x - cos * x - sin * y], [-sin, cos, y + sin * x - cos * y]])


def frame_about(extent: Float64, level: Affine) -> Frame:
    """Frame levelled points N×2 with MARGIN in whole pixels. The scale is 1 unless a side is over MAX_SIDE."""
    low, high = extent.min(axis=0), extent.max(axis=0)
    margin = MARGIN * (high - low).max()
    window = high - low + 2 * margin
    scale = min(1.0, MAX_SIDE / window.max())
    width, height = (min(MAX_SIDE, math.ceil(side * scale)) for side in window.tolist())
    shift_x, shift_y = (scale * (margin - low)).tolist()
    return Frame(compose(level, scale_and_shift(scale, shift_x, shift_y)), (width, height))


REACH = 1.0
"""How far outside the landmarks' box labels may lie and still widen the crop, in sides of that box."""


@dataclass(frozen=True, slots=True, eq=False)
class FaceContours:
    """A face's regions in the requested frame, their SVG, and the levelled crop."""

    svg: str
    regions: tuple[Region, ...]
    crop: Frame

    @property
    def mask_contours(self) -> dict[str, list[list[list[float]]]]:
        """Rings of [x, y] by region number: outer rings and holes, for the even-odd rule."""
        return {
            str(region.number): [np.round(ring.points, 2).tolist() for ring in region.contours]
            for region in self.regions
        }


def face_contours(
    size: Size,
    landmarks: Float64,
    segmentation: "Segmentation | ParsedLabels" = None,
    options: ContourOptions | None = None,
    photo: Photo | None = None,
) -> FaceContours:
    """Outline the regions of a face: landmarks N×2, N one of COUNTS, in source pixels of a photo of `size`.

    A caller's label map of any size covers the whole photo and is outlined. A parser's labels only show the hairline.
    If the photo is given, it is embedded in the SVG. Raises FaceError (region_unknown, regions_invalid,
    label_map_empty).
    """
    options = options or ContourOptions()
    given = covering(segmentation, size) if isinstance(segmentation, np.ndarray) else segmentation
    crop = _crop(landmarks, given)
    regions = _regions(crop, landmarks, given, options)
    frame = crop
    if options.frame is ContourFrame.SOURCE:
        frame, back = Frame(np.eye(2, 3), size), invert(crop.from_source)
        regions = [region.moved(back) for region in regions]
    drawn = transform_points(landmarks, frame.from_source)
    picture = None if photo is None else frame.of_photo(photo)
    return FaceContours(svg_document(frame.size, regions, drawn, options, picture), tuple(regions), crop)


def _topology(landmarks: Float64) -> Topology:
    return IBUG if len(landmarks) == LANDMARKS else MESH


def _crop(landmarks: Float64, segmentation: Rings | PlacedLabels | None) -> Frame:
    topology = _topology(landmarks)
    left, right = (landmarks[list(eye)].mean(axis=0) for eye in topology.eyes)
    level = levelling(left, right)
    points = topology.extend(transform_points(landmarks, level))
    extent = np.vstack((points, forehead(points, topology)))
    if isinstance(segmentation, PlacedLabels):
        extent = _with_labels(extent, segmentation.framed, compose(segmentation.to_source, level))
    return frame_about(extent, level)


def _with_labels(extent: Float64, label_map: LabelMap, affine: Affine) -> Float64:
    """Add the ends of every row of labels, levelled by `affine`, but none farther than REACH from the face."""
    labelled = label_map != BACKGROUND
    rows = np.flatnonzero(labelled.any(axis=1))
    starts = labelled.argmax(axis=1)[rows]
    ends = labelled.shape[1] - labelled[:, ::-1].argmax(axis=1)[rows]
    sides = [np.column_stack((x, rows + 0.5)) for x in (starts, ends)]
    low, high = extent.min(axis=0), extent.max(axis=0)
    reach = REACH * (high - low)
    levelled = transform_points(np.vstack(sides), affine)
    return np.vstack((extent, np.clip(levelled, low - reach, high + reach)))


def _regions(
    crop: Frame, landmarks: Float64, segmentation: Rings | PlacedLabels | None, options: ContourOptions
) -> list[Region]:
    points = transform_points(landmarks, crop.from_source)
    if isinstance(segmentation, Mapping):
        return ring_regions(points, segmentation, options.regions)
    label_map = None if segmentation is None else crop.of_labels(segmentation)
    if label_map is not None and not options.regions and not isinstance(segmentation, ParsedLabels):
        return label_regions(label_map)
    topology = _topology(landmarks)
    return landmark_regions(topology.extend(points), topology, options.regions, label_map)
