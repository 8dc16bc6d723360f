"""The steps by the name of the Triton model that runs them."""

from collections.abc import Mapping

from steps.body_masks_draw import body_masks_draw
from steps.face_contours_draw import face_contours_draw
from steps.face_crop import face_crop
from steps.face_input import face_input
from steps.pose_crop import pose_crop
from steps.pose_input import pose_input
from steps.tensors import Step

STEPS: Mapping[str, Step] = {
    "pose_input": pose_input,
    "pose_crop": pose_crop,
    "body_masks_draw": body_masks_draw,
    "face_input": face_input,
    "face_crop": face_crop,
    "face_contours_draw": face_contours_draw,
}
