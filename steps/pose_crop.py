"""Second step: the people that the detector found, each cut out upright for the landmark model."""

import numpy as np

from steps.failure import InputError, carrying_failures
from steps.parameters import BodyMaskParameters
from steps.photo import EncodedPhoto
from steps.regions import regions_context
from steps.tensors import Tensors, json_object, json_tensor
from vision.pose import DECODED_SIDE, INPUT_SIDE
from vision.pose_detection import decode_detections
from vision.roi import crop, roi_of

MOST_PEOPLE = 8
"""Crops of one request with every person: what one run of the landmark model takes."""
LARGEST_CANDIDATES = 3
"""Crops to choose the largest person from: a region of interest only estimates how large its person is."""


def _blank(_: Tensors) -> Tensors:
    return {"crops": np.zeros((1, INPUT_SIDE, INPUT_SIDE, 3), np.uint8)}


@carrying_failures(_blank)
def pose_crop(tensors: Tensors) -> Tensors:
    """Cut out the largest regions of interest.

    `image` BYTES [1], `parameters` BYTES [1], `boxes` float32 1×2254×12, `scores` float32 1×2254×1 →
    `crops` uint8 P×256×256×3 RGB, 1 ≤ P ≤ 8, `context` BYTES [1] JSON with the regions.
    """
    encoded = EncodedPhoto.read(tensors["image"])
    parameters = BodyMaskParameters.from_json(json_object(tensors["parameters"]))
    detections = decode_detections(tensors["boxes"][0], tensors["scores"][0], encoded.info.size)
    if not detections:
        raise InputError("no_person", "no person was found in the photo; one must show at least head and shoulders")
    most = LARGEST_CANDIDATES if parameters.person == "largest" else MOST_PEOPLE
    regions = sorted(map(roi_of, detections), key=lambda region: -region.side)[:most]
    photo = encoded.reduced(regions[-1].side, DECODED_SIDE)  # the smallest region needs the most pixels
    crops = np.stack([crop(photo, region, INPUT_SIDE) for region in regions])
    return {"crops": crops, "context": json_tensor(regions_context(regions))}
