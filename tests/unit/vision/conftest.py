"""A drawn person: landmarks and a mask that are known exactly."""

import numpy as np
import pytest
from numpy.typing import NDArray

from vision.body.label_map_limbs import Landmark
from vision.body.pose import Pose
from vision.ssd import Roi

JOINTS = {
    Landmark.NOSE: (128, 42),
    Landmark.LEFT_EYE: (133, 38),
    Landmark.RIGHT_EYE: (123, 38),
    Landmark.LEFT_EAR: (140, 40),
    Landmark.RIGHT_EAR: (116, 40),
    Landmark.MOUTH_LEFT: (132, 49),
    Landmark.MOUTH_RIGHT: (124, 49),
    Landmark.LEFT_SHOULDER: (155, 75),
    Landmark.RIGHT_SHOULDER: (101, 75),
    Landmark.LEFT_ELBOW: (175, 105),
    Landmark.RIGHT_ELBOW: (81, 105),
    Landmark.LEFT_WRIST: (190, 135),
    Landmark.RIGHT_WRIST: (66, 135),
    Landmark.LEFT_PINKY: (194, 143),
    Landmark.RIGHT_PINKY: (62, 143),
    Landmark.LEFT_INDEX: (192, 144),
    Landmark.RIGHT_INDEX: (64, 144),
    Landmark.LEFT_HIP: (142, 145),
    Landmark.RIGHT_HIP: (114, 145),
    Landmark.LEFT_KNEE: (145, 190),
    Landmark.RIGHT_KNEE: (111, 190),
    Landmark.LEFT_ANKLE: (147, 232),
    Landmark.RIGHT_ANKLE: (109, 232),
    Landmark.LEFT_HEEL: (146, 238),
    Landmark.RIGHT_HEEL: (110, 238),
    Landmark.LEFT_TOE: (158, 242),
    Landmark.RIGHT_TOE: (98, 242),
}
"""A front view in a 256×256 photo."""


@pytest.fixture
def landmarks() -> NDArray[np.float64]:
    rows = np.zeros((33, 5))
    rows[:, 3:] = 1
    for joint, place in JOINTS.items():
        rows[joint, :2] = place
    return rows


@pytest.fixture
def pose(landmarks: NDArray[np.float64]) -> Pose:
    mask = np.zeros((256, 256), dtype=np.uint8)
    mask[10:250, 50:206] = 255
    return Pose(landmarks, 0.9, mask, Roi((128.0, 128.0), 256.0, 0.0), (50.0, 10.0, 206.0, 250.0))
