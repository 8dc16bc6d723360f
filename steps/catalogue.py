"""The steps by the name of the Triton model that runs them."""

from collections.abc import Mapping
from pathlib import Path

from steps.body_masks_draw import body_masks_draw
from steps.detect_find import Networks, detect_find
from steps.detect_list import detect_list
from steps.face_contours_draw import face_contours_draw
from steps.face_crop import face_crop
from steps.face_input import face_input
from steps.object_detectors import chosen_detectors
from steps.pose_crop import pose_crop
from steps.pose_input import pose_input
from steps.privacy_blur_draw import privacy_blur_draw
from steps.tensors import Step


def steps_of(model_repository: Path, networks: Networks) -> Mapping[str, Step]:
    """Every step; the one that looks for objects runs the detectors of the model repository on these networks."""
    return {
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
