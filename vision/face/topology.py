"""Outlines as rings of landmark indices: MediaPipe's 468 and 478 landmarks, and iBUG 300-W's 68.

Rings are named as the viewer sees the face.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from vision.arrays import Float64

Ring: TypeAlias = tuple[int, ...]

REGION_NUMBERS: Mapping[str, int] = {
    "forehead": 1,
    "nose": 2,
    "left_under_eye": 3,
    "right_under_eye": 4,
    "mouth": 5,
    "left_eye": 6,
    "right_eye": 7,
    "left_eyebrow": 8,
    "right_eyebrow": 9,
    "upper_lip": 10,
    "lower_lip": 11,
    "face_oval": 12,
    "left_cheek": 13,
    "right_cheek": 14,
}
"""Left and right are the viewer's: the left eye is the subject's right one."""
DEFAULT_REGIONS = ("forehead", "nose", "left_under_eye", "right_under_eye", "mouth")
FOREHEAD = "forehead"


@dataclass(frozen=True, slots=True)
class Topology:
    """The outlines of one landmark scheme, as indices into the landmarks of a levelled face after `extend`.

    `rings` holds every region of REGION_NUMBERS except the forehead, which runs along `brows` from the viewer's right
    to the left and back along `arc`. `rise` is how far the middle of the arc lies below the hairline, in heights of the
    face from arc to chin.
    """

    eyes: tuple[Ring, Ring]
    rings: Mapping[str, Ring]
    arc: Ring
    brows: Ring
    chin: int
    rise: float
    extend: Callable[[Float64], Float64]


def indices(numbers: str) -> Ring:
    """Indices given as words."""
    return tuple(map(int, numbers.split()))


def joined(*rings: Sequence[int]) -> Ring:
    """One ring made of several stretches."""
    return tuple(index for ring in rings for index in ring)


SUBJECT_RIGHT_EYE = indices("33 7 163 144 145 153 154 155 133 173 157 158 159 160 161 246")
SUBJECT_LEFT_EYE = indices("263 249 390 373 374 380 381 382 362 398 384 385 386 387 388 466")
OUTER_LOWER_LIP = indices("61 146 91 181 84 17 314 405 321 375 291")
OUTER_UPPER_LIP = indices("291 409 270 269 267 0 37 39 40 185 61")
INNER_LOWER_LIP = indices("78 95 88 178 87 14 317 402 318 324 308")
INNER_UPPER_LIP = indices("308 415 310 311 312 13 82 81 80 191 78")


def _as_given(landmarks: Float64) -> Float64:
    return landmarks


MESH = Topology(
    eyes=(SUBJECT_RIGHT_EYE, SUBJECT_LEFT_EYE),
    rings={
        "nose": indices("55 8 285 417 412 437 420 429 279 358 294 327 326 2 97 98 64 129 49 209 198 236 196 122 193"),
        "left_under_eye": indices("35 226 25 110 24 23 22 26 112 244 245 128 121 120 119 118 117 111"),
        "right_under_eye": indices("465 464 341 256 252 253 254 339 255 359 353 383 372 340 346 347 348 349 350 357"),
        "mouth": indices(
            "234 116 36 203 165 167 164 393 391 423 266 330 345 454 323 361 288 397 365 379 378 400 377 152 148 176 "
            "149 150 136 172 58 132 93"
        ),
        "left_eye": SUBJECT_RIGHT_EYE,
        "right_eye": SUBJECT_LEFT_EYE,
        "left_eyebrow": indices("70 63 105 66 107 55 65 52 53 46"),
        "right_eyebrow": indices("300 293 334 296 336 285 295 282 283 276"),
        "upper_lip": joined(OUTER_UPPER_LIP, INNER_UPPER_LIP[::-1]),
        "lower_lip": joined(OUTER_LOWER_LIP, INNER_LOWER_LIP[::-1]),
        "face_oval": indices(
            "10 338 297 332 284 251 389 356 454 323 361 288 397 365 379 378 400 377 152 148 176 149 150 136 172 58 "
            "132 93 234 127 162 21 54 103 67 109"
        ),
        "left_cheek": indices("116 117 118 119 100 142 203 206 216 207 187 147 123"),
        "right_cheek": indices("345 346 347 348 329 371 423 426 436 427 411 376 352"),
    },
    arc=indices("162 21 54 103 67 109 10 338 297 332 284 251"),
    brows=indices("389 301 293 334 296 336 9 107 66 105 63 70 127"),
    chin=152,
    rise=0.15,
    extend=_as_given,
)


LANDMARKS = 68
JAW_LEFT, JAW_RIGHT, CHIN, NOSE_BASE = 0, 16, 8, 33
LEFT_EYE, RIGHT_EYE = tuple(range(36, 42)), tuple(range(42, 48))
BROWS = tuple(range(17, 27))

ARC_POINTS = 13
ARC_SPAN = 0.9
"""Share of a half turn that the forehead's arc covers. The rest is the temples."""
HAIRLINE = 0.75
"""Height of the forehead above the brows, in distances from the brows to the nose's base."""
ARC = tuple(range(LANDMARKS, LANDMARKS + ARC_POINTS))

BETWEEN = (
    (39, 27, 0.6), (31, 33, -0.5), (1, 31, 0.14), (31, 48, 0.5), (4, 48, 0.5), (3, 31, 0.16),
    (42, 27, 0.6), (35, 33, -0.5), (15, 35, 0.14), (35, 54, 0.5), (12, 54, 0.5), (13, 35, 0.16),
)  # fmt: skip
"""Points on the line from one landmark to another, and how far along. Below 0, the line is extended backwards."""
LEFT_NOSE_SIDE, LEFT_WING, LEFT_CHEEK = 81, 82, (83, 84, 85, 86)
RIGHT_NOSE_SIDE, RIGHT_WING, RIGHT_CHEEK = 87, 88, (89, 90, 91, 92)

LOWERED = (
    (36, 0.1), (41, 0.34), (40, 0.38), (39, 0.2), (45, 0.1), (46, 0.34), (47, 0.38), (42, 0.2),
    (18, -0.1), (19, -0.1), (20, -0.1), (20, 0.1), (19, 0.1), (18, 0.1),
    (23, -0.1), (24, -0.1), (25, -0.1), (25, 0.1), (24, 0.1), (23, 0.1),
)  # fmt: skip
"""Points straight below a landmark (above it if below 0), in distances from the eyes' line to the nose's base."""
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
    """Half an ellipse over the ends of the jaw, up to the hairline."""
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
