"""The step of full `face_contours` that asks the user's face parser where skin ends and hair begins."""

from typing import cast

import numpy as np

from steps.face_contours import SEVERAL_FACES, found_faces
from steps.networks import Network, Networks
from steps.photo import EncodedPhoto
from steps.tensors import Step, Tensors, asked_for, carrying_failures, json_object
from vision.arrays import Float64, LabelMap
from vision.face.parsing import PARSER_DECODED_SIDE, PARSER_SIDE, parser_roi
from vision.face.topology import MESH
from vision.ssd import crop


def _unparsed(_: Tensors) -> Tensors:
    return {"labels": np.zeros((1, PARSER_SIDE, PARSER_SIDE), np.uint8)}


def face_parse(model: str, networks: Networks) -> Step:
    """The step on this model of a face parser.

    `image`, `parameters`, `context` BYTES [1], `landmarks` float32 F×1404, `presence` float32 F×1 → `labels` uint8
    F×512×512 (CelebAMask-HQ's, on the crop of `parser_roi`), `context` BYTES [1] as it came. Faces come in the order of
    the contours. If the request has a segmentation of its own, nothing is parsed.
    """

    @carrying_failures(_unparsed)
    def step(tensors: Tensors) -> Tensors:
        parameters = json_object(tensors["parameters"])
        faces = found_faces(tensors)
        if parameters.get("segmentation_map"):
            return {**_unparsed(tensors), "context": tensors["context"]}
        photo = EncodedPhoto.read(tensors["image"])
        asked = asked_for(faces, cast("str", parameters.get("face", "largest")), SEVERAL_FACES)
        labels = np.stack([_labels(photo, face.landmarks[:, :2], networks(model)) for face in asked])
        return {"labels": labels, "context": tensors["context"]}

    return step


def _labels(encoded: EncodedPhoto, landmarks: Float64, network: Network) -> LabelMap:
    """The parser's labels of one face. Raises InputError."""
    roi = parser_roi(landmarks, MESH)
    pixels = crop(encoded.reduced(roi.side, PARSER_DECODED_SIDE), roi, PARSER_SIDE)
    (labels,) = network.maps(pixels, ["labels"])
    return cast("LabelMap", labels)
