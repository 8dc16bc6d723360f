"""The limbs of a body as tapered bones, sized by its torso."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from vision.arrays import Float32, Float64
from vision.body.mask_types import Atr


class Landmark(IntEnum):
    """Those of MediaPipe's 33 landmarks that bound a region of the body."""

    NOSE = 0
    LEFT_EYE = 2
    RIGHT_EYE = 5
    LEFT_EAR = 7
    RIGHT_EAR = 8
    MOUTH_LEFT = 9
    MOUTH_RIGHT = 10
    LEFT_SHOULDER = 11
    RIGHT_SHOULDER = 12
    LEFT_ELBOW = 13
    RIGHT_ELBOW = 14
    LEFT_WRIST = 15
    RIGHT_WRIST = 16
    LEFT_PINKY = 17
    RIGHT_PINKY = 18
    LEFT_INDEX = 19
    RIGHT_INDEX = 20
    LEFT_HIP = 23
    RIGHT_HIP = 24
    LEFT_KNEE = 25
    RIGHT_KNEE = 26
    LEFT_ANKLE = 27
    RIGHT_ANKLE = 28
    LEFT_HEEL = 29
    RIGHT_HEEL = 30
    LEFT_TOE = 31
    RIGHT_TOE = 32


@dataclass(frozen=True, slots=True, eq=False)
class Bone:
    """A segment from `start` to `end`, with half the limb's width at each end, in pixels."""

    label: Atr
    start: Float64
    end: Float64
    start_radius: float
    end_radius: float


SLEEVE = 0.4
"""Share of the upper arm, from the shoulder, that a short sleeve covers."""
CUFF = 0.9
"""Share of the shin, from the knee, that trousers cover."""
HAND_REACH = 1.4
"""Finger tips are this many times as far from the wrist as the knuckles are."""
SURFACE_UNIT = 0.1
"""In lengths of the torso."""
MIN_VISIBILITY = 0.3
"""Visibility × presence. Below it an elbow draws no arm and a hip no leg: a photo may end at the waist."""

SHOULDERS_TO_TORSO = 1.3
"""A torso is at least this many times as long as the distance between the shoulder joints."""

UPPER_ARM_RADII = (0.14, 0.105)
FOREARM_RADII = (0.105, 0.08)
HAND_RADII = (0.085, 0.08)
THIGH_RADII = (0.19, 0.14)
SHIN_RADII = (0.13, 0.09)
FOOT_RADII = (0.085, 0.08)
SHOULDER_RADIUS = 0.1
PELVIS_RADIUS = 0.16
"""Half the widths of clothed limbs, in lengths of the torso from shoulder to hip (about 50 cm in an adult)."""


def torso_length(landmarks: Float64) -> float:
    """Measure mid-shoulder to mid-hip of landmarks 33×5. Depth counts, so that a bent torso keeps its length."""
    points = landmarks[:, :3]
    shoulders = points[[Landmark.LEFT_SHOULDER, Landmark.RIGHT_SHOULDER]]
    hips = points[[Landmark.LEFT_HIP, Landmark.RIGHT_HIP]]
    spine = float(np.linalg.norm(shoulders.mean(axis=0) - hips.mean(axis=0)))
    breadth = float(np.linalg.norm(shoulders[0, :2] - shoulders[1, :2]))
    return max(spine, SHOULDERS_TO_TORSO * breadth, 1.0)


def body_bones(landmarks: Float64) -> list[Bone]:
    """List the bones below the head, in the pixels of the landmarks 33×5 (x, y, z, visibility, presence)."""
    unit = torso_length(landmarks)
    points = landmarks[:, :2]
    left, right = Landmark.LEFT_SHOULDER, Landmark.RIGHT_SHOULDER
    bones = [_bone(Atr.UPPER_CLOTHES, points[left], points[right], (SHOULDER_RADIUS,) * 2, unit)]
    seen = landmarks[:, 3] * landmarks[:, 4] >= MIN_VISIBILITY
    left, right = Landmark.LEFT_HIP, Landmark.RIGHT_HIP
    if seen[left] or seen[right]:
        bones.append(_bone(Atr.PANTS, points[left], points[right], (PELVIS_RADIUS,) * 2, unit))
    for offset, arm, shoe in ((0, Atr.LEFT_ARM, Atr.LEFT_SHOE), (1, Atr.RIGHT_ARM, Atr.RIGHT_SHOE)):
        side = points[offset:]
        if seen[Landmark.LEFT_HIP + offset]:
            bones += _leg(side, shoe, unit)
        if seen[Landmark.LEFT_ELBOW + offset]:
            bones += _arm(side, arm, unit)
    return bones


def _arm(side: Float64, label: Atr, unit: float) -> list[Bone]:
    """`side` is 0 or 1: each landmark of the right side follows that of the left."""
    shoulder, elbow, wrist = side[Landmark.LEFT_SHOULDER], side[Landmark.LEFT_ELBOW], side[Landmark.LEFT_WRIST]
    knuckles = side[[Landmark.LEFT_PINKY, Landmark.LEFT_INDEX]].mean(axis=0)
    hem = shoulder + SLEEVE * (elbow - shoulder)
    return [
        _bone(Atr.UPPER_CLOTHES, shoulder, hem, UPPER_ARM_RADII, unit),
        _bone(label, hem, elbow, UPPER_ARM_RADII, unit),
        _bone(label, elbow, wrist, FOREARM_RADII, unit),
        _bone(label, wrist, wrist + HAND_REACH * (knuckles - wrist), HAND_RADII, unit),
    ]


def _leg(side: Float64, shoe: Atr, unit: float) -> list[Bone]:
    hip, knee, ankle = side[Landmark.LEFT_HIP], side[Landmark.LEFT_KNEE], side[Landmark.LEFT_ANKLE]
    heel, toe = side[Landmark.LEFT_HEEL], side[Landmark.LEFT_TOE]
    return [
        _bone(Atr.PANTS, hip, knee, THIGH_RADII, unit),
        _bone(Atr.PANTS, knee, knee + CUFF * (ankle - knee), SHIN_RADII, unit),
        _bone(shoe, ankle, toe, FOOT_RADII, unit),
        _bone(shoe, heel, toe, FOOT_RADII, unit),
    ]


def _bone(label: Atr, start: Float64, end: Float64, radii: tuple[float, ...], unit: float) -> Bone:
    return Bone(label, start, end, radii[0] * unit, radii[1] * unit)


def surface_distance(share: Float32, radius: float | Float32, unit: float) -> Float32:
    """Turn distances from an axis, as shares of the radius there, into signed distances from the surface.

    Inside, the distance is -1 on the axis and 0 on the surface, so that thin limbs show in front of thick ones.
    Outside, it is measured in SURFACE_UNIT torsos, so that a far pixel gets the nearest part and not the thickest.
    """
    beyond = share - 1
    slope = np.float32(1 / (SURFACE_UNIT * unit)) * radius
    return np.asarray(np.maximum(beyond, 0) * slope + np.minimum(beyond, 0), dtype=np.float32)


def bone_distance(bone: Bone, points: Float32, unit: float) -> Float32:
    """Measure points N×2 against a bone as `surface_distance` does; `unit` is the torso's length.

    The limb's half width runs linearly from one end of the bone to the other.
    """
    along_x, along_y = (bone.end - bone.start).astype(np.float32)
    x, y = points[:, 0] - np.float32(bone.start[0]), points[:, 1] - np.float32(bone.start[1])
    length = max(along_x**2 + along_y**2, np.float32(1e-6))
    share = np.clip(x * (along_x / length) + y * (along_y / length), 0, 1)
    distance = np.sqrt((x - share * along_x) ** 2 + (y - share * along_y) ** 2)
    radius = np.float32(bone.start_radius) + share * np.float32(bone.end_radius - bone.start_radius)
    return surface_distance(distance / radius, radius, unit)
