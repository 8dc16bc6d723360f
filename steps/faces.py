"""Steps that find faces: the photo for two detectors, crops for the landmark model, and the recognised faces."""

from collections.abc import Sequence
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from steps.failure import InputError, carrying_failures, require_success
from steps.photo import EncodedPhoto, regions_context, regions_of
from steps.tensors import Tensors, json_object, json_tensor
from vision.face.mesh import MESH_DECODED_SIDE, MESH_SIDE, Face, decode_face, distinct, roi_of
from vision.ssd import (
    FACE_DECODED_SIDE,
    FULL_SIDE,
    SHORT_SIDE,
    Roi,
    crop,
    decode_full_range,
    decode_short_range,
    letterbox,
)


def _no_photo(_: Tensors) -> Tensors:
    return {
        "short": np.zeros((1, SHORT_SIDE, SHORT_SIDE, 3), np.uint8),
        "full": np.zeros((1, FULL_SIDE, FULL_SIDE, 3), np.uint8),
    }


@carrying_failures(_no_photo)
def face_input(tensors: Tensors) -> Tensors:
    """Letterbox the photo for each detector.

    `image` BYTES [1] → `short` uint8 1×128×128×3 and `full` uint8 1×192×192×3, both RGB, `context` BYTES [1] JSON.
    """
    encoded = EncodedPhoto.read(tensors["image"])
    photo, size = encoded.reduced(max(encoded.info.size), FACE_DECODED_SIDE), encoded.info.size
    return {
        "short": letterbox(photo, size, SHORT_SIDE)[np.newaxis],
        "full": letterbox(photo, size, FULL_SIDE)[np.newaxis],
        "context": json_tensor({}),
    }


Float32: TypeAlias = NDArray[np.float32]

NO_FACE = (
    "no_face",
    "no face was found in the photo; one must show both eyes, upright, and span a twentieth of the photo or more",
)
"""Code and detail of the failure."""


def found_faces(tensors: Tensors) -> list[Face]:
    """Faces of the regions in which the model is sure of one. Each comes from the first such region, largest first.

    `context` BYTES [1] JSON of `face_crop`, `landmarks` float32 F×1404, `presence` float32 F×1 logits. Raises
    InputError: `no_face`, or what an earlier step handed on.
    """
    context = json_object(tensors["context"])
    require_success(context)
    outputs = [cast("Float32", tensors[name]) for name in ("landmarks", "presence")]
    decoded = (decode_face(*face) for face in zip(*outputs, regions_of(context), strict=True))
    faces = distinct([face for face in decoded if face is not None])
    if not faces:
        raise InputError(*NO_FACE)
    return faces


MOST_CROPS = 16
"""Crops of one request: what one run of the landmark model accepts."""


def _no_crops(_: Tensors) -> Tensors:
    return {"crops": np.zeros((1, MESH_SIDE, MESH_SIDE, 3), np.uint8)}


@carrying_failures(_no_crops)
def face_crop(tensors: Tensors) -> Tensors:
    """Cut out the regions of interest. Those of the short range come first, because `found_faces` prefers them.

    `image` BYTES [1], `short_boxes` float32 1×896×16, `short_scores` float32 1×896×1, `full_boxes` float32 1×2304×16,
    `full_scores` float32 1×2304×1 → `crops` uint8 F×192×192×3 RGB, 1 ≤ F ≤ 16, `context` BYTES [1] JSON with the
    regions. Neither detector is enough alone: only the short range finds faces that fill the photo, only the full range
    finds small ones. A face that both find is cut out twice, because a face in profile may be recognised only in the
    second frame.
    """
    encoded = EncodedPhoto.read(tensors["image"])
    size = encoded.info.size
    near = decode_short_range(tensors["short_boxes"][0], tensors["short_scores"][0], size)
    far = decode_full_range(tensors["full_boxes"][0], tensors["full_scores"][0], size)
    regions = _largest([roi_of(detection) for detection in (*near, *far)])
    if not regions:
        raise InputError(*NO_FACE)
    photo = encoded.reduced(min(region.side for region in regions), MESH_DECODED_SIDE)
    crops = np.stack([crop(photo, region, MESH_SIDE) for region in regions])
    return {"crops": crops, "context": json_tensor(regions_context(regions))}


def _largest(regions: Sequence[Roi]) -> list[Roi]:
    """At most MOST_CROPS regions, in their order."""
    ranked = sorted(range(len(regions)), key=lambda index: -regions[index].side)
    return [regions[index] for index in sorted(ranked[:MOST_CROPS])]
