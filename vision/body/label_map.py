"""An ATR-style label map, made from a pose, its person mask and the landmarks of the face."""

from dataclasses import dataclass

import cv2
import numpy as np

from vision.affine import transform_points
from vision.arrays import Float32, Float64, LabelMap, Mask, Size
from vision.body.label_map_limbs import Bone, Landmark, body_bones, bone_distance, surface_distance, torso_length
from vision.body.mask_types import Atr
from vision.body.pose import Pose, person_mask
from vision.body.silhouette import WORK_SIZE, Canvas

EYES_TO_MOUTH = 0.38
"""Distance from the eyes to the mouth in heights of the face, hairline to chin."""
EARS_TO_HEIGHT = 1.2
"""A face is this many times as high as the distance between the ears."""
HAIRLINE = 0.4
"""How far the hairline lies above the eyes, in heights of the face."""
MIN_HALF_WIDTH = 0.36
HAIR_RISE, HAIR_RADIUS = 0.15, 0.62
"""The disc that holds a head with its hair: how far its centre lies above the face's, and its radius, in heights of the
face."""
NECK_RADIUS = 0.26
NECK_BOTTOM = 0.2
"""In heights of the face; the neck ends this far above the line of the shoulders."""
TURNED_AWAY = -0.15
"""When a head is seen from behind, its left ear is this far left of the right one, in heights of the face."""


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """The face as an ellipse (centre, unit vector to the crown, height, half width), and the neck."""

    center: Float64
    up: Float64
    height: float
    half_width: float
    turned_away: bool
    neck: Bone


def head_of(landmarks: Float64) -> Head:
    """Place the head of landmarks 33×5, in the landmarks' pixels."""
    points = landmarks[:, :2]
    eyes = points[[Landmark.LEFT_EYE, Landmark.RIGHT_EYE]].mean(axis=0)
    mouth = points[[Landmark.MOUTH_LEFT, Landmark.MOUTH_RIGHT]].mean(axis=0)
    ears = points[[Landmark.LEFT_EAR, Landmark.RIGHT_EAR]]
    distance = max(float(np.linalg.norm(eyes - mouth)), 1e-6)
    height = max(distance / EYES_TO_MOUTH, EARS_TO_HEIGHT * float(np.linalg.norm(ears[0] - ears[1])), 1.0)
    up = (eyes - mouth) / distance
    across = np.array([-up[1], up[0]])
    spread = (np.vstack((ears, eyes, points[Landmark.NOSE])) - eyes) @ across
    center = eyes + (HAIRLINE - 0.5) * height * up + spread.min() / 2 * across + spread.max() / 2 * across
    half_width = max(float(np.ptp(spread)) / 2, MIN_HALF_WIDTH * height)
    turned_away = float((ears[0] - ears[1]) @ across) < TURNED_AWAY * height
    return Head(center, up, height, half_width, turned_away, _neck(points, mouth, ears.mean(axis=0), height))


def _neck(points: Float64, mouth: Float64, ears: Float64, height: float) -> Bone:
    shoulders = points[[Landmark.LEFT_SHOULDER, Landmark.RIGHT_SHOULDER]].mean(axis=0)
    top = (mouth + ears) / 2
    length = max(float(np.linalg.norm(top - shoulders)), 1e-6)
    bottom = shoulders + min(NECK_BOTTOM * height / length, 0.5) * (top - shoulders)
    return Bone(Atr.NECK, top, bottom, NECK_RADIUS * height, NECK_RADIUS * height)


def head_distances(head: Head, points: Float32, unit: float) -> dict[Atr, Float32]:
    """Measure points N×2 against face, neck and hair as `surface_distance` does. `unit` is the torso's length.

    Neck and hair are never below 0, because the face lies in front of them. A head seen from behind has no face.
    """
    offset = points - head.center.astype(np.float32)
    upward = offset @ head.up.astype(np.float32)
    sideward = offset @ np.array([-head.up[1], head.up[0]], dtype=np.float32)
    crown = np.hypot(upward - HAIR_RISE * head.height, sideward) / (HAIR_RADIUS * head.height)
    neck = bone_distance(head.neck, points, unit)
    hair = surface_distance(crown, HAIR_RADIUS * head.height, unit)
    distances = {Atr.NECK: np.maximum(neck, 0), Atr.HAIR: np.maximum(hair, 0)}
    if not head.turned_away:
        face = np.hypot(upward / (head.height / 2), sideward / head.half_width)
        distances[Atr.FACE] = surface_distance(face, head.half_width, unit)
    return distances


GRID = 4
"""Distances are measured at every fourth canvas pixel and interpolated between."""
SHOULDERS, HIPS = [Landmark.LEFT_SHOULDER, Landmark.RIGHT_SHOULDER], [Landmark.LEFT_HIP, Landmark.RIGHT_HIP]
TORSO_DEPTH = 0.2
"""How far the torso lies below its surface between its corners. A limb in front of it shows where it lies deeper."""
TORSO_RADIUS = 0.16
"""Half the torso's thickness about the joints that bound it, in lengths of the torso."""
TORSO_TOP = 0.12
"""Where the torso starts, on the way from the shoulders to the hips: above are shoulders and neck."""


def atr_label_map(pose: Pose, canvas: Canvas, size: Size) -> LabelMap:
    """Label every pixel of the person on the 384×512 canvas with the part of the body nearest to it.

    Distance is measured to the surface of a limb around its bone. Clothes are assumed to be a short-sleeved top, long
    trousers and shoes, because a pose does not show them. Outside the person mask and the photo of `size` is
    background.
    """
    person = person_mask(pose, canvas.to_work, WORK_SIZE)
    return _nearest(_distances(_on_canvas(pose.landmarks, canvas)), WORK_SIZE) & person & photo_window(canvas, size)


def fine_label_map(pose: Pose, canvas: Canvas, person: Mask) -> LabelMap:
    """Label every pixel of a person with the same parts, on a frame larger than the canvas, as `outline` draws it."""
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


def photo_window(canvas: Canvas, size: Size) -> Mask:
    """Draw the part of the canvas that shows the photo of `size`: 255 there, 0 beyond it."""
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
    """Label each pixel of the canvas, drawn in `size`, with the nearest part. Planes hold one pixel in GRID."""
    labels = np.zeros(size[::-1], dtype=np.uint8)
    best = np.full(labels.shape, np.inf, dtype=np.float32)
    distance, nearer = np.empty_like(best), np.empty_like(labels)
    for label, plane in distances.items():
        cv2.resize(plane, size, dst=distance, interpolation=cv2.INTER_LINEAR)
        cv2.compare(distance, best, cv2.CMP_LT, dst=nearer)
        cv2.copyTo(np.full_like(labels, label), nearer, labels)
        cv2.min(best, distance, dst=best)
    return labels
