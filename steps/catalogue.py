"""The steps by the name of the Triton model that runs them."""

from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path

from steps.body_masks import body_masks_draw
from steps.detect import Networks, detect_find, detect_list
from steps.face_contours import face_contours_draw
from steps.faces import face_crop, face_input
from steps.object_detectors import chosen_detectors
from steps.poses import pose_crop, pose_input
from steps.privacy_blur import privacy_blur_draw
from steps.tensors import Step

ENTRY_POINTS = "maskwright.steps"
"""The group of entry points at which installed packages name their steps, each by its Triton model."""


def steps_of(model_repository: Path, networks: Networks) -> Mapping[str, Step]:
    """Every step, also those of installed packages, which replace none of ours.

    The detecting step runs the detectors of the model repository on these networks.
    """
    return {
        **{point.name: point.load() for point in entry_points(group=ENTRY_POINTS)},
        "pose_input": pose_input,
        "pose_crop": pose_crop,
        "body_masks_draw": body_masks_draw,
        "face_input": face_input,
        "face_crop": face_crop,
        "face_contours_draw": face_contours_draw,
        "detect_find": detect_find(chosen_detectors(model_repository), networks),
        "detect_list": detect_list,
        "privacy_blur_draw": privacy_blur_draw,
    }
