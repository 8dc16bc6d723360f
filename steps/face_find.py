"""The faces that the landmark model recognises: where a last step takes its landmarks from."""

from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from steps.failure import InputError, require_success
from steps.regions import regions_of
from steps.tensors import Tensors, json_object
from vision.face_mesh import Face, decode_face, distinct

Float32: TypeAlias = NDArray[np.float32]

NO_FACE = (
    "no_face",
    "no face was found in the photo; one must show both eyes, upright, and span a twentieth of the photo or more",
)
"""Code and detail of the failure."""


def found_faces(tensors: Tensors) -> list[Face]:
    """Faces of the regions in which the model is sure of one, each from the first such region, the largest first.

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
