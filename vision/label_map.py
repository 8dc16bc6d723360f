"""An ATR-style label map made from a pose and its person mask."""

import cv2
import numpy as np

from vision.affine import transform_points
from vision.arrays import Float32, Float64, LabelMap, Mask, Size
from vision.atr import Atr
from vision.bones import Landmark, body_bones, bone_distance, surface_distance, torso_length
from vision.canvas import WORK_SIZE, Canvas
from vision.head import head_distances, head_of
from vision.pose import Pose, person_mask

GRID = 4
"""Distances are measured at every fourth canvas pixel and interpolated between."""
SHOULDERS, HIPS = [Landmark.LEFT_SHOULDER, Landmark.RIGHT_SHOULDER], [Landmark.LEFT_HIP, Landmark.RIGHT_HIP]
TORSO_DEPTH = 0.2
"""How far the torso lies below its surface between its corners: a limb before it shows where it lies deeper."""
TORSO_RADIUS = 0.16
"""Half the torso's thickness about the joints that bound it, in lengths of the torso."""
TORSO_TOP = 0.12
"""Where the torso starts, on the way from the shoulders to the hips: above are shoulders and neck."""


def atr_label_map(pose: Pose, canvas: Canvas, size: Size) -> LabelMap:
    """Label every pixel of the person on the 384×512 canvas with the part of the body nearest to it.

    Nearness is the distance to the surface of a limb about its bone. Clothes are taken as a short-sleeved top, long
    trousers and shoes: a pose cannot tell. Outside the person mask and the photo of `size` is background.
    """
    person = person_mask(pose, canvas.to_work, WORK_SIZE)
    return _nearest(_distances(_on_canvas(pose.landmarks, canvas)), WORK_SIZE) & person & _photo_window(canvas, size)


def fine_label_map(pose: Pose, canvas: Canvas, person: Mask) -> LabelMap:
    """Label every pixel of a person drawn larger than the canvas, as `outline` does, with the same parts."""
    inside = cv2.threshold(person, 127, 255, cv2.THRESH_BINARY)[1]
    height, width = person.shape
    return _nearest(_distances(_on_canvas(pose.landmarks, canvas)), (width, height)) & np.asarray(
        inside, dtype=np.uint8
    )


def _on_canvas(landmarks: Float64, canvas: Canvas) -> Float64:
    moved = landmarks.copy()
    moved[:, :2] = transform_points(landmarks[:, :2], canvas.to_work)
    moved[:, 2] *= canvas.to_work[0, 0]
    return moved


def _photo_window(canvas: Canvas, size: Size) -> Mask:
    window = np.zeros(WORK_SIZE[::-1], dtype=np.uint8)
    corners = transform_points(np.array([(0, 0), size], dtype=np.float64), canvas.to_work)
    (left, top), (right, bottom) = np.rint(np.clip(corners, 0, WORK_SIZE)).astype(int).tolist()
    window[top:bottom, left:right] = 255
    return window


def _distances(landmarks: Float64) -> dict[Atr, Float32]:
    """Signed distance of every grid point to each part of the body, H×W by label."""
    width, height = WORK_SIZE[0] // GRID, WORK_SIZE[1] // GRID
    x, y = np.meshgrid((np.arange(width) + 0.5) * GRID, (np.arange(height) + 0.5) * GRID)
    points = np.stack((x.ravel(), y.ravel()), axis=1).astype(np.float32)
    unit = torso_length(landmarks)
    flat = head_distances(head_of(landmarks), points, unit)
    flat[Atr.UPPER_CLOTHES] = _torso(landmarks, (width, height), unit).ravel()
    for bone in body_bones(landmarks):
        distance, known = bone_distance(bone, points, unit), flat.get(bone.label)
        flat[bone.label] = distance if known is None else np.minimum(known, distance)
    return {label: distance.reshape(height, width) for label, distance in flat.items()}


def _torso(landmarks: Float64, grid_size: Size, unit: float) -> Float32:
    shoulders, hips = landmarks[SHOULDERS, :2], landmarks[HIPS, :2]
    corners = np.vstack((shoulders + TORSO_TOP * (hips - shoulders), hips)) / GRID
    hull = cv2.convexHull(np.clip(corners, -4096, 4096).astype(np.float32)).astype(np.int32)
    outside = cv2.fillConvexPoly(np.full(grid_size[::-1], 255, dtype=np.uint8), hull, (0,))
    radius = TORSO_RADIUS * unit
    share = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_5) * (GRID / radius)
    surface = surface_distance(np.asarray(share, dtype=np.float32), radius, unit)
    return np.where(surface < 0, TORSO_DEPTH * surface, surface)


def _nearest(distances: dict[Atr, Float32], size: Size) -> LabelMap:
    """Label each pixel of the canvas drawn in `size` with the nearest part; planes come at one pixel in GRID."""
    labels = np.zeros(size[::-1], dtype=np.uint8)
    best = np.full(labels.shape, np.inf, dtype=np.float32)
    distance, nearer = np.empty_like(best), np.empty_like(labels)
    for label, plane in distances.items():
        cv2.resize(plane, size, dst=distance, interpolation=cv2.INTER_LINEAR)
        cv2.compare(distance, best, cv2.CMP_LT, dst=nearer)
        cv2.copyTo(np.full_like(labels, label), nearer, labels)
        cv2.min(best, distance, dst=best)
    return labels
