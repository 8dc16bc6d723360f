"""`POST /v1/run/{pipeline}`, as the API's description has it."""

import base64

from gateway.intake.media import JSON
from gateway.openapi.codes import RUN
from gateway.openapi.photos import BINARY, parameters_schema, photo_bodies, query_parameters
from gateway.openapi.problems import COMPONENT, REQUEST_ID, Responses, problem_responses
from gateway.pipelines.pipeline import Pipeline
from gateway.readiness import tiny_png
from gateway.routes.schemas import RunAnswer

_SERVER_TIMING = {
    "Server-Timing": {"description": "Milliseconds of wait and infer.", "schema": {"type": "string"}},
}
_SHOWN_KEYPOINTS = [
    *([300.4, 121.7, 0.99], [302.2, 198.0, 0.99], [245.1, 203.6, 0.99], [221.9, 310.2, 0.98], [214.8, 402.5, 0.97]),
    *([359.3, 202.4, 0.99], [381.0, 309.9, 0.98], [390.6, 405.1, 0.96], [264.7, 411.3, 0.99], [259.2, 573.0, 0.97]),
    *([252.5, 721.8, 0.93], [339.9, 412.0, 0.99], [345.4, 574.6, 0.97], [0.0, 0.0, 0.0], [288.6, 108.1, 0.99]),
    *([313.9, 108.9, 0.99], [270.3, 118.4, 0.98], [331.7, 119.6, 0.98]),
]
SHOWN_RESULT = {
    "photo": {"width": 600, "height": 800},
    "persons": [{"index": 0, "box": [205.5, 48.25, 398.0, 790.75], "score": 0.98, "keypoints": _SHOWN_KEYPOINTS}],
}


def run_operation(pipeline: Pipeline) -> dict[str, object]:
    """Parameters and request bodies."""
    fields = parameters_schema(pipeline)["properties"]
    return {
        "parameters": query_parameters(fields),
        "requestBody": {"required": True, "content": photo_bodies(fields)},
    }


def run_responses(pipeline: Pipeline) -> Responses:
    """The good answer's forms, and every error."""
    good: dict[str, object] = {
        "description": "One artifact: its bytes. Several: JSON, or multipart/mixed where Accept prefers it.",
        "model": RunAnswer,
        "content": {
            "image/png": {"schema": {"type": "string", "contentMediaType": "image/png"}},
            JSON: {"example": _answer_example(pipeline)},
            "multipart/mixed": {"schema": _parts_schema()},
        },
        "headers": {**REQUEST_ID, **_SERVER_TIMING},
    }
    return {200: good, **problem_responses(RUN, f"/v1/run/{pipeline.name}")}


def _parts_schema() -> dict[str, object]:
    """The parts by their file names."""
    return {
        "type": "object",
        "properties": {"result.json": {"$ref": COMPONENT.format(model="RunSummary")}},
        "required": ["result.json"],
        "additionalProperties": {**BINARY, "description": "An artifact, under its own name and type."},
    }


def _answer_example(pipeline: Pipeline) -> dict[str, object]:
    """An answer with one artifact, whose content is cut short."""
    artifact = {"content_type": "image/png", "bytes": 4127, "base64": base64.b64encode(tiny_png()[:15]).decode("ascii")}
    return {
        "request_id": "5f0c1d9be1f94d0f8a4f3f6f5d2b7c11",
        "pipeline": pipeline.name,
        "status": "completed",
        **SHOWN_RESULT,
        "artifacts": {"upper_body_mask.png": artifact},
    }
