"""Last step of `detect`: the objects, as JSON."""

import json
from typing import cast

from steps.answers import completed, refused
from steps.detect_classes import labels_of
from steps.detect_find import Findings
from steps.failure import InputError
from steps.photo import EncodedPhoto
from steps.tensors import JsonObject, Tensors, json_object
from vision.arrays import Size


def detect_list(tensors: Tensors) -> Tensors:
    """List what the first step found.

    `image`, `parameters`, `context` BYTES [1] → `result` BYTES [1] JSON, `artifact_names` and `artifacts` BYTES [1].
    """
    try:
        classes = cast("list[str]", json_object(tensors["parameters"]).get("classes", []))
        result = _result(Findings.of(tensors), EncodedPhoto.read(tensors["image"]).info.size, classes)
    except InputError as failure:
        return refused(failure.code, failure.detail)
    return completed(result, {"detections.json": json.dumps(result, separators=(",", ":")).encode()})


def _result(findings: Findings, size: Size, classes: list[str]) -> JsonObject:
    labels = labels_of(classes, findings.known) or findings.known
    described = [one.description() for one in findings.objects if one.label in labels]
    return {
        "photo": {"width": size[0], "height": size[1]},
        "looked": findings.looked,
        "detections": [{"index": index, **description} for index, description in enumerate(described)],
    }
