"""Last step of `detect`: the objects, as JSON."""

import json
from collections.abc import Callable
from functools import partial

from steps.answers import completed, refused
from steps.detect_classes import labels_of
from steps.detect_find import Finders, Findings
from steps.detect_parameters import DetectParameters
from steps.failure import InputError
from steps.photo import EncodedPhoto
from steps.tensors import JsonObject, Step, Tensors, json_object
from vision.arrays import Size
from vision.photo import Photo


def detect_list(finders: Finders) -> Step:
    """The step for these finders; detectors that were not run give no `{role}_rows`.

    `image`, `parameters`, `context` BYTES [1], `{role}_rows` float32 1×K×6, `photo` uint8 H×W×3 where the first step
    is in the same process → `result` BYTES [1] JSON, `artifact_names` and `artifacts` BYTES [K].
    """

    def step(tensors: Tensors) -> Tensors:
        try:
            parameters = DetectParameters.from_json(json_object(tensors["parameters"]))
            findings = finders.findings(tensors)
            encoded = EncodedPhoto.read(tensors["image"])
            result = _result(findings, encoded.info.size, partial(encoded.full, tensors.get("photo")), parameters)
        except InputError as failure:
            return refused(failure.code, failure.detail)
        return completed(result, {"detections.json": json.dumps(result, separators=(",", ":")).encode()})

    return step


def _result(findings: Findings, size: Size, photo: Callable[[], Photo], parameters: DetectParameters) -> JsonObject:
    labels = labels_of(parameters.classes, findings.labels) or findings.labels
    found = findings.objects(photo, size, labels, parameters.thresholds)
    described = [one.description() for one in found if one.label in labels]
    return {
        "photo": {"width": size[0], "height": size[1]},
        "detections": [{"index": index, **description} for index, description in enumerate(described)],
    }
