"""Steps that find people: the photo for the pose detector, and crops for the landmark model."""

import numpy as np

from steps.body_masks import NO_PERSON, BodyMaskParameters
from steps.failure import InputError, carrying_failures
from steps.photo import EncodedPhoto, regions_context
from steps.tensors import Tensors, json_object, json_tensor
from vision.body.pose import POSE_DECODED_SIDE, POSE_SIDE
from vision.ssd import PERSON_DECODED_SIDE, PERSON_SIDE, crop, decode_pose_detections, letterbox, roi_of


def _no_photo(_: Tensors) -> Tensors:
    return {"pixels": np.zeros((1, PERSON_SIDE, PERSON_SIDE, 3), np.uint8)}


@carrying_failures(_no_photo)
def pose_input(tensors: Tensors) -> Tensors:
    """`image` BYTES [1] → `pixels` uint8 1×224×224×3 RGB letterboxed, `context` BYTES [1] JSON."""
    encoded = EncodedPhoto.read(tensors["image"])
    photo = encoded.reduced(max(encoded.info.size), PERSON_DECODED_SIDE)
    pixels = letterbox(photo, encoded.info.size, PERSON_SIDE)
    return {"pixels": pixels[np.newaxis], "context": json_tensor({})}


MOST_PEOPLE = 8
"""Crops of one request with every person: what one run of the landmark model takes."""
LARGEST_CANDIDATES = 3
"""Crops from which the largest person is chosen. A region of interest only estimates how large its person is."""


def _no_crops(_: Tensors) -> Tensors:
    return {"crops": np.zeros((1, POSE_SIDE, POSE_SIDE, 3), np.uint8)}


@carrying_failures(_no_crops)
def pose_crop(tensors: Tensors) -> Tensors:
    """Cut out the largest regions of interest.

    `image` BYTES [1], `parameters` BYTES [1], `boxes` float32 1×2254×12, `scores` float32 1×2254×1 →
    `crops` uint8 P×256×256×3 RGB, 1 ≤ P ≤ 8, `context` BYTES [1] JSON with the regions.
    """
    encoded = EncodedPhoto.read(tensors["image"])
    parameters = BodyMaskParameters.from_json(json_object(tensors["parameters"]))
    detections = decode_pose_detections(tensors["boxes"][0], tensors["scores"][0], encoded.info.size)
    if not detections:
        raise InputError(*NO_PERSON)
    most = LARGEST_CANDIDATES if parameters.person == "largest" else MOST_PEOPLE
    regions = sorted(map(roi_of, detections), key=lambda region: -region.side)[:most]
    photo = encoded.reduced(regions[-1].side, POSE_DECODED_SIDE)  # the smallest region needs the most pixels
    crops = np.stack([crop(photo, region, POSE_SIDE) for region in regions])
    return {"crops": crops, "context": json_tensor(regions_context(regions))}
