"""A head's face, hair and neck, placed by the landmarks of the face."""

from dataclasses import dataclass

import numpy as np

from vision.arrays import Float32, Float64
from vision.atr import Atr
from vision.bones import Bone, Landmark, bone_distance, surface_distance

EYES_TO_MOUTH = 0.38
"""Distance from the eyes to the mouth in heights of the face, hairline to chin."""
EARS_TO_HEIGHT = 1.2
"""A face is this many times as high as the ears are apart."""
HAIRLINE = 0.4
"""How far the hairline lies above the eyes, in heights of the face."""
MIN_HALF_WIDTH = 0.36
HAIR_RISE, HAIR_RADIUS = 0.15, 0.62
"""The disc that holds a head with its hair: its centre above the face's, and its radius, in heights of the face."""
NECK_RADIUS = 0.26
NECK_BOTTOM = 0.2
"""In heights of the face; the neck ends this far above the line of the shoulders."""
TURNED_AWAY = -0.15
"""Heights of the face by which the left ear lies left of the right one in a head seen from behind."""


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """The face as an ellipse: centre, unit vector to the crown, height, half width; and the neck."""

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
    """Measure points N×2 against face, neck and hair as `surface_distance` does; `unit` is the torso's length.

    Neck and hair are never below 0: the face lies before them. A head seen from behind has no face.
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
