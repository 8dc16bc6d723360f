"""The 18 keypoints of COCO with a neck, as OpenPose orders them."""

import numpy as np

from vision.affine import transform_points
from vision.arrays import Affine, Float64, Size
from vision.pose import Pose

KEYPOINT_NAMES = (
    "nose",
    "neck",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "right_hip",
    "right_knee",
    "right_ankle",
    "left_hip",
    "left_knee",
    "left_ankle",
    "right_eye",
    "left_eye",
    "right_ear",
    "left_ear",
)
NECK = KEYPOINT_NAMES.index("neck")

LANDMARK_OF_KEYPOINT = (0, 12, 12, 14, 16, 11, 13, 15, 24, 26, 28, 23, 25, 27, 5, 2, 8, 7)
"""Index among mediapipe's 33 landmarks; the neck's entry is a stand-in, its place is the middle of the shoulders."""
LEFT_SHOULDER, RIGHT_SHOULDER = 11, 12

MIN_SCORE = 0.1
"""Visibility × presence below which a joint counts as not found."""
OUTSIDE = 0.1
"""How far beyond the photo a joint may lie and still be found, as a share of the photo's longer side."""


def coco_keypoints(pose: Pose, size: Size) -> Float64:
    """List the keypoints 18×3: x, y in source pixels and a score; the score 0 says that the joint was not found.

    The score is visibility × presence. `size` is the photo's.
    """
    x, y, _, visibility, presence = pose.landmarks.T
    rows = np.stack((x, y, visibility * presence), axis=1)
    keypoints: Float64 = rows[list(LANDMARK_OF_KEYPOINT)]
    shoulders = rows[[LEFT_SHOULDER, RIGHT_SHOULDER]]
    keypoints[NECK] = [*shoulders[:, :2].mean(axis=0), shoulders[:, 2].min()]
    margin = OUTSIDE * max(size)
    beyond = ((keypoints[:, :2] < -margin) | (keypoints[:, :2] > np.array(size) + margin)).any(axis=1)
    keypoints[beyond | (keypoints[:, 2] < MIN_SCORE), 2] = 0.0
    return keypoints


def transform_keypoints(keypoints: Float64, affine: Affine) -> Float64:
    """Move keypoints N×3 into another frame; scores stay."""
    return np.column_stack((transform_points(keypoints[:, :2], affine), keypoints[:, 2]))
