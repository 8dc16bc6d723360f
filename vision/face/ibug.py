"""Outlines over the 68 landmarks of iBUG 300-W, with points that those leave out set in proportion."""

import numpy as np

from vision.arrays import Float64
from vision.face.topology import Ring, Topology, indices, joined

LANDMARKS = 68
JAW_LEFT, JAW_RIGHT, CHIN, NOSE_BASE = 0, 16, 8, 33
LEFT_EYE, RIGHT_EYE = tuple(range(36, 42)), tuple(range(42, 48))
BROWS = tuple(range(17, 27))

ARC_POINTS = 13
ARC_SPAN = 0.9
"""Share of a half turn that the forehead's arc takes; the rest is the temples."""
HAIRLINE = 0.75
"""Height of the forehead over the brows in distances from the brows to the nose's base."""
ARC = tuple(range(LANDMARKS, LANDMARKS + ARC_POINTS))

BETWEEN = (
    (39, 27, 0.6), (31, 33, -0.5), (1, 31, 0.14), (31, 48, 0.5), (4, 48, 0.5), (3, 31, 0.16),
    (42, 27, 0.6), (35, 33, -0.5), (15, 35, 0.14), (35, 54, 0.5), (12, 54, 0.5), (13, 35, 0.16),
)  # fmt: skip
"""Points on the line from one landmark to another, and how far along; below 0 the line is prolonged backwards."""
LEFT_NOSE_SIDE, LEFT_WING, LEFT_CHEEK = 81, 82, (83, 84, 85, 86)
RIGHT_NOSE_SIDE, RIGHT_WING, RIGHT_CHEEK = 87, 88, (89, 90, 91, 92)

LOWERED = (
    (36, 0.1), (41, 0.34), (40, 0.38), (39, 0.2), (45, 0.1), (46, 0.34), (47, 0.38), (42, 0.2),
    (18, -0.1), (19, -0.1), (20, -0.1), (20, 0.1), (19, 0.1), (18, 0.1),
    (23, -0.1), (24, -0.1), (25, -0.1), (25, 0.1), (24, 0.1), (23, 0.1),
)  # fmt: skip
"""Points straight below a landmark (above it: below 0), in distances from the eyes' line to the nose's base."""
LEFT_SHADOW, RIGHT_SHADOW = (93, 94, 95, 96), (97, 98, 99, 100)


def extend(landmarks: Float64) -> Float64:
    """Append ARC, BETWEEN and LOWERED to levelled landmarks 68×2."""
    start, end, share = map(np.array, zip(*BETWEEN, strict=True))
    between = landmarks[start] + share[:, np.newaxis] * (landmarks[end] - landmarks[start])
    index, drop = map(np.array, zip(*LOWERED, strict=True))
    lowered = landmarks[index]
    lowered[:, 1] += drop * (landmarks[NOSE_BASE, 1] - landmarks[[*LEFT_EYE, *RIGHT_EYE], 1].mean())
    return np.vstack((landmarks, _arc(landmarks), between, lowered))


def _arc(landmarks: Float64) -> Float64:
    """Half an ellipse over the jaw's ends, to the hairline."""
    center, half = landmarks[[JAW_LEFT, JAW_RIGHT]].mean(axis=0), (landmarks[JAW_RIGHT] - landmarks[JAW_LEFT]) / 2
    brows = landmarks[list(BROWS), 1].min()
    height = max(center[1] - brows + HAIRLINE * (landmarks[NOSE_BASE, 1] - brows), 0.0)
    angles = np.pi * np.linspace(0.5 - ARC_SPAN / 2, 0.5 + ARC_SPAN / 2, ARC_POINTS)
    arc: Float64 = center - np.outer(np.cos(angles), half) - np.outer(np.sin(angles), (0.0, height))
    return arc


def _eye_and_shadow(lid: Ring, shadow: Ring) -> Ring:
    return joined(lid, shadow[::-1])


IBUG = Topology(
    eyes=(LEFT_EYE, RIGHT_EYE),
    rings={
        "nose": (21, 22, RIGHT_NOSE_SIDE, RIGHT_WING, 35, 34, NOSE_BASE, 32, 31, LEFT_WING, LEFT_NOSE_SIDE),
        "left_under_eye": _eye_and_shadow((36, 41, 40, 39), LEFT_SHADOW),
        "right_under_eye": _eye_and_shadow((45, 46, 47, 42), RIGHT_SHADOW),
        "mouth": joined(range(1, 16), (35, NOSE_BASE, 31)),
        "left_eye": LEFT_EYE,
        "right_eye": RIGHT_EYE,
        "left_eyebrow": (17, 101, 102, 103, 21, 104, 105, 106),
        "right_eyebrow": (22, 107, 108, 109, 26, 110, 111, 112),
        "upper_lip": indices("48 49 50 51 52 53 54 64 63 62 61 60"),
        "lower_lip": indices("54 55 56 57 58 59 48 60 67 66 65 64"),
        "face_oval": joined(range(17), ARC[::-1]),
        "left_cheek": joined(LEFT_CHEEK[:1], LEFT_SHADOW[1:3], (LEFT_WING,), LEFT_CHEEK[1:]),
        "right_cheek": joined(RIGHT_CHEEK[:1], RIGHT_SHADOW[1:3], (RIGHT_WING,), RIGHT_CHEEK[1:]),
    },
    arc=ARC,
    brows=BROWS[::-1],
    chin=CHIN,
    rise=0.0,
    extend=extend,
)
