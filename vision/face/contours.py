"""A face's contours: level, crop, outline, draw."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vision.affine import compose, invert, transform_points
from vision.arrays import Affine, Float64, LabelMap, Size
from vision.face.frame import Frame, frame_about, label_map_affine, levelling
from vision.face.hairline import forehead
from vision.face.ibug import IBUG, LANDMARKS
from vision.face.label_scheme import BACKGROUND
from vision.face.mesh import MESH
from vision.face.options import ContourFrame, ContourOptions
from vision.face.regions import Region, label_regions, landmark_regions, ring_regions
from vision.face.segmentation import Segmentation
from vision.face.svg import svg_document
from vision.face.topology import Topology
from vision.photo import Photo

REACH = 1.0
"""How far labels may lie beyond the landmarks' box and still widen the crop, in sides of that box."""


@dataclass(frozen=True, slots=True, eq=False)
class FaceContours:
    """A face's regions in the frame that was asked for, their SVG, and the levelled crop."""

    svg: str
    regions: tuple[Region, ...]
    crop: Frame

    @property
    def mask_contours(self) -> dict[str, list[list[list[float]]]]:
        """Rings of [x, y] by region number, outer ones and holes, for the even-odd rule."""
        return {
            str(region.number): [np.round(ring.points, 2).tolist() for ring in region.contours]
            for region in self.regions
        }


def face_contours(
    size: Size,
    landmarks: Float64,
    segmentation: Segmentation = None,
    options: ContourOptions | None = None,
    photo: Photo | None = None,
) -> FaceContours:
    """Outline the regions of the face with landmarks N×2, N one of COUNTS, in source pixels of a photo of `size`.

    A label map of any size covers the whole photo. The photo, where given, is embedded in the SVG. Raises FaceError
    (region_unknown, regions_invalid, label_map_empty).
    """
    options = options or ContourOptions()
    label_map = segmentation if isinstance(segmentation, np.ndarray) else None
    crop = _crop(size, landmarks, label_map)
    regions = _regions(size, crop, landmarks, segmentation, options)
    frame = crop
    if options.frame is ContourFrame.SOURCE:
        frame, back = Frame(np.eye(2, 3), size), invert(crop.from_source)
        regions = [region.moved(back) for region in regions]
    drawn = transform_points(landmarks, frame.from_source)
    picture = None if photo is None else frame.of_photo(photo)
    return FaceContours(svg_document(frame.size, regions, drawn, options, picture), tuple(regions), crop)


def _topology(landmarks: Float64) -> Topology:
    return IBUG if len(landmarks) == LANDMARKS else MESH


def _crop(size: Size, landmarks: Float64, label_map: LabelMap | None) -> Frame:
    topology = _topology(landmarks)
    left, right = (landmarks[list(eye)].mean(axis=0) for eye in topology.eyes)
    level = levelling(left, right)
    points = topology.extend(transform_points(landmarks, level))
    extent = np.vstack((points, forehead(points, topology)))
    if label_map is not None:
        extent = _with_labels(extent, label_map, compose(label_map_affine(label_map, size), level))
    return frame_about(extent, level)


def _with_labels(extent: Float64, label_map: LabelMap, affine: Affine) -> Float64:
    """Add the ends of every row of labels, levelled by `affine`, no farther than REACH beyond the face."""
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
    size: Size, crop: Frame, landmarks: Float64, segmentation: Segmentation, options: ContourOptions
) -> list[Region]:
    points = transform_points(landmarks, crop.from_source)
    if isinstance(segmentation, Mapping):
        return ring_regions(points, segmentation, options.regions)
    label_map = None if segmentation is None else crop.of_label_map(segmentation, size)
    if label_map is not None and not options.regions:
        return label_regions(label_map)
    topology = _topology(landmarks)
    return landmark_regions(topology.extend(points), topology, options.regions, label_map)
