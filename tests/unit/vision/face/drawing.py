"""A drawn face: landmarks and labels that are known exactly."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.arrays import Float64, LabelMap, Size
from vision.face.topology import MESH, Ring

SIZE: Size = (400, 480)
CENTER = (200.0, 250.0)
EYES = ((150.0, 220.0), (250.0, 220.0))
HAIRLINE = 130
"""Row at which the skin ends and the hair begins."""


def mesh_landmarks(count: int = 478) -> Float64:
    """A front view: rings on ellipses, every other landmark at the nose."""
    points = np.tile(np.array(CENTER), (count, 1))
    _place(points, MESH.rings["face_oval"], CENTER, (90, 110), start=-90)
    _place(points, MESH.rings["mouth"][13:28], (200.0, 300.0), (60, 50), start=0, turn=180)
    for name, eye in zip(("left_eye", "right_eye"), EYES, strict=True):
        _place(points, MESH.rings[name], eye, (20, 10), start=180 if name == "left_eye" else 0)
    _place(points, MESH.brows[::-1], (200.0, 205.0), (80, 25), start=180, turn=180)
    _place(points, MESH.rings["upper_lip"], (200.0, 315.0), (30, 8), start=0)
    _place(points, MESH.rings["lower_lip"], (200.0, 325.0), (30, 8), start=180)
    return points


def ibug_landmarks() -> Float64:
    """The same face as 68 points."""
    points = np.tile(np.array(CENTER), (68, 1))
    _place(points, tuple(range(16, -1, -1)), CENTER, (90, 110), start=0, turn=180 * 17 / 16)
    _place(points, tuple(range(17, 27)), (200.0, 205.0), (80, 25), start=180, turn=200)
    _place(points, tuple(range(36, 42)), EYES[0], (20, 10), start=180)
    _place(points, tuple(range(42, 48)), EYES[1], (20, 10), start=180)
    _place(points, tuple(range(48, 60)), (200.0, 320.0), (30, 15), start=180)
    _place(points, tuple(range(60, 68)), (200.0, 320.0), (20, 6), start=180)
    points[27:31, 0], points[27:31, 1] = 200, np.linspace(215, 265, 4)
    points[31:36, 0], points[31:36, 1] = np.linspace(182, 218, 5), 280
    return points


def label_map(size: Size = SIZE) -> LabelMap:
    """Hair 10, skin 1 with eyes 4 and 5, nose 6 and lips 7, in the services' numbers."""
    drawn = np.zeros(SIZE[::-1], dtype=np.uint8)
    cv2.ellipse(drawn, (200, 240), (120, 160), 0, 0, 360, 10, cv2.FILLED)
    skin = np.zeros_like(drawn)
    cv2.ellipse(skin, (200, 250), (95, 150), 0, 0, 360, 1, cv2.FILLED)
    skin[:HAIRLINE] = 0
    drawn[skin > 0] = 1
    for label, (x, y) in zip((4, 5), EYES, strict=True):
        cv2.ellipse(drawn, (round(x), round(y)), (20, 10), 0, 0, 360, label, cv2.FILLED)
    cv2.ellipse(drawn, (200, 260), (18, 30), 0, 0, 360, 6, cv2.FILLED)
    cv2.ellipse(drawn, (200, 320), (30, 8), 0, 0, 360, 7, cv2.FILLED)
    return np.asarray(cv2.resize(drawn, size, interpolation=cv2.INTER_NEAREST), dtype=np.uint8)


def turned(points: Float64, degrees: float) -> Float64:
    """Points turned clockwise, as the viewer sees it, about the face's centre."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = np.array([[cos, -sin], [sin, cos]])
    moved: NDArray[np.float64] = (points - CENTER) @ turn.T + CENTER
    return moved


def turned_map(labels: LabelMap, degrees: float) -> LabelMap:
    """A label map of SIZE turned alike, nearest."""
    # OpenCV counts angles the other way round, and pixel centres as whole numbers.
    turn = cv2.getRotationMatrix2D((CENTER[0] - 0.5, CENTER[1] - 0.5), -degrees, 1.0)
    return np.asarray(cv2.warpAffine(labels, turn, SIZE, flags=cv2.INTER_NEAREST), dtype=np.uint8)


def _place(
    points: Float64,
    ring: Ring,
    center: tuple[float, float],
    radii: tuple[float, float],
    start: float,
    turn: float = 360,
) -> None:
    """Spread the landmarks of a ring along an ellipse, clockwise from `start` degrees."""
    angles = np.radians(start + turn * np.arange(len(ring)) / len(ring))
    points[list(ring)] = np.array(center) + np.column_stack((np.cos(angles), np.sin(angles))) * radii
