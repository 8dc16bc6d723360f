"""Second step: the faces that the detectors found, each cut out upright for the landmark model."""

from collections.abc import Sequence

import numpy as np

from steps.face_find import NO_FACE
from steps.failure import InputError, carrying_failures
from steps.photo import EncodedPhoto
from steps.regions import regions_context
from steps.tensors import Tensors, json_tensor
from vision.face_detection import decode_full_range, decode_short_range
from vision.face_mesh import DECODED_SIDE, INPUT_SIDE, roi_of
from vision.roi import Roi, crop

MOST_CROPS = 16
"""Of one request: what one run of the landmark model takes."""


def _blank(_: Tensors) -> Tensors:
    return {"crops": np.zeros((1, INPUT_SIDE, INPUT_SIDE, 3), np.uint8)}


@carrying_failures(_blank)
def face_crop(tensors: Tensors) -> Tensors:
    """Cut out the regions of interest, those of the short range first, because `found_faces` prefers them.

    `image` BYTES [1], `short_boxes` float32 1×896×16, `short_scores` float32 1×896×1, `full_boxes` float32 1×2304×16,
    `full_scores` float32 1×2304×1 → `crops` uint8 F×192×192×3 RGB, 1 ≤ F ≤ 16, `context` BYTES [1] JSON with the
    regions. Neither detector does for both: faces that fill the photo only the short range finds, small ones only the
    full range. A face that both find is cut out twice: one in profile may be recognised only in the second frame.
    """
    encoded = EncodedPhoto.read(tensors["image"])
    size = encoded.info.size
    near = decode_short_range(tensors["short_boxes"][0], tensors["short_scores"][0], size)
    far = decode_full_range(tensors["full_boxes"][0], tensors["full_scores"][0], size)
    regions = _largest([roi_of(detection) for detection in (*near, *far)])
    if not regions:
        raise InputError(*NO_FACE)
    photo = encoded.reduced(min(region.side for region in regions), DECODED_SIDE)
    crops = np.stack([crop(photo, region, INPUT_SIDE) for region in regions])
    return {"crops": crops, "context": json_tensor(regions_context(regions))}


def _largest(regions: Sequence[Roi]) -> list[Roi]:
    """At most MOST_CROPS regions, in their order."""
    ranked = sorted(range(len(regions)), key=lambda index: -regions[index].side)
    return [regions[index] for index in sorted(ranked[:MOST_CROPS])]
