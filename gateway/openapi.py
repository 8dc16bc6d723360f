"""The API's description: what cannot be read off the handlers, as JSON schemas and examples."""

import base64
from collections.abc import Iterable, Mapping

from fastapi import FastAPI

from gateway.intake.media import JSON, MULTIPART
from gateway.pipelines.pipeline import Pipeline
from gateway.problems import MEDIA_TYPE, PROBLEMS, RETRIED, problem_fields
from gateway.readiness import tiny_png
from gateway.routes.schemas import RunAnswer, RunSummary

Responses = dict[int | str, dict[str, object]]

_COMPONENT = "#/components/schemas/{model}"
_BINARY = {"type": "string", "contentMediaType": "application/octet-stream"}
_BASE64 = {"type": "string", "contentEncoding": "base64"}
_PROBLEM_SCHEMA = {
    "title": "Problem",
    "description": "Problem details (RFC 9457); `code` is stable, `detail` is for people.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "instance"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "enum": list(PROBLEMS)},
        "instance": {"type": "string", "format": "uri-reference", "description": "The path that was asked for."},
    },
}
_REQUEST_ID = {"X-Request-Id": {"description": "Names the request in the log.", "schema": {"type": "string"}}}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}}
_SERVER_TIMING = {
    "Server-Timing": {"description": "Milliseconds of wait and infer.", "schema": {"type": "string"}},
}
_JSON_IMAGE = {
    "description": "The photo as base64; a `data:` prefix is allowed.",
    "oneOf": [
        _BASE64,
        {"type": "object", "properties": {"base64": _BASE64}, "required": ["base64"]},
        {
            "type": "object",
            "properties": {"type": {"const": "base64"}, "data": _BASE64},
            "required": ["type", "data"],
        },
    ],
}
_SHOWN_KEYPOINTS = [
    *([300.4, 121.7, 0.99], [302.2, 198.0, 0.99], [245.1, 203.6, 0.99], [221.9, 310.2, 0.98], [214.8, 402.5, 0.97]),
    *([359.3, 202.4, 0.99], [381.0, 309.9, 0.98], [390.6, 405.1, 0.96], [264.7, 411.3, 0.99], [259.2, 573.0, 0.97]),
    *([252.5, 721.8, 0.93], [339.9, 412.0, 0.99], [345.4, 574.6, 0.97], [0.0, 0.0, 0.0], [288.6, 108.1, 0.99]),
    *([313.9, 108.9, 0.99], [270.3, 118.4, 0.98], [331.7, 119.6, 0.98]),
]


def add_schemas(app: FastAPI) -> None:
    """Put the schemas that no handler names into the application's description, which is made here and then kept."""
    summary = RunSummary.model_json_schema(ref_template=_COMPONENT)
    schemas = app.openapi()["components"]["schemas"]
    schemas.update({**summary.pop("$defs"), "RunSummary": summary, "Problem": _PROBLEM_SCHEMA})


def parameters_schema(pipeline: Pipeline) -> dict[str, dict[str, dict[str, object]]]:
    """JSON schema of a pipeline's parameters; the defaults are those in force."""
    schema = pipeline.parameters.model_json_schema()
    for name, value in pipeline.defaults.items():
        schema["properties"][name]["default"] = value
    return schema


def run_operation(pipeline: Pipeline) -> dict[str, object]:
    """Parameters and request bodies of `POST /v1/run/{pipeline}`."""
    fields = parameters_schema(pipeline)["properties"]
    return {
        "parameters": [_query_parameter(name, schema) for name, schema in fields.items()],
        "requestBody": {"required": True, "content": _bodies(fields)},
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
        "headers": {**_REQUEST_ID, **_SERVER_TIMING},
    }
    return {200: good, **problem_responses(PROBLEMS, f"/v1/run/{pipeline.name}")}


def problem_responses(codes: Iterable[str], path: str) -> Responses:
    """Errors of an address by status, with an example of each code."""
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(PROBLEMS[code].status, []).append(code)
    return {status: _problem_response(status, listed, path) for status, listed in sorted(by_status.items())}


def _problem_response(status: int, codes: Iterable[str], path: str) -> dict[str, object]:
    examples = {code: {"summary": PROBLEMS[code].title, "value": _problem_example(code, path)} for code in codes}
    return {
        "description": "; ".join(f"`{code}`: {PROBLEMS[code].title}" for code in codes),
        "content": {MEDIA_TYPE: {"schema": {"$ref": _COMPONENT.format(model="Problem")}, "examples": examples}},
        "headers": {**_REQUEST_ID, **(_RETRY_AFTER if status in RETRIED else {})},
    }


def _problem_example(code: str, path: str) -> dict[str, object]:
    entry = PROBLEMS[code]
    return {**problem_fields(code, entry.example), "instance": entry.example_path or path}


def _query_parameter(name: str, schema: Mapping[str, object]) -> dict[str, object]:
    """A field in the address; its default is only told: pages that fill it in would send it there and in the body."""
    bare = {key: value for key, value in schema.items() if key not in ("default", "description")}
    default = schema["default"]
    shown = ",".join(map(str, default)) if isinstance(default, list | tuple) else str(default)
    description = f"{schema['description']} Here or in the body, not both. Default: {shown or 'none'}."
    return {"name": name, "in": "query", "description": description, "schema": bare, **_style(schema)}


def _bodies(fields: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    form_image = {**_BINARY, "description": "The photo; `file` and `user_image` are accepted too."}
    styles = {name: style for name, schema in fields.items() if (style := _style(schema))}
    example = {
        "image": {"type": "base64", "data": base64.b64encode(tiny_png()).decode("ascii")},
        **{name: schema["default"] for name, schema in fields.items()},
    }
    return {
        MULTIPART: {"schema": _object({"image": form_image, **fields}), "encoding": styles},
        JSON: {"schema": _object({"image": _JSON_IMAGE, **fields}), "example": example},
        "image/*": {"schema": _BINARY},
    }


def _object(properties: Mapping[str, object]) -> dict[str, object]:
    return {"type": "object", "properties": properties, "required": ["image"], "additionalProperties": False}


def _style(schema: Mapping[str, object]) -> dict[str, object]:
    """How a list is written in a query or a form: separated by commas."""
    return {"style": "form", "explode": False} if schema.get("type") == "array" else {}


def _parts_schema() -> dict[str, object]:
    """The parts by their file names."""
    return {
        "type": "object",
        "properties": {"result.json": {"$ref": _COMPONENT.format(model="RunSummary")}},
        "required": ["result.json"],
        "additionalProperties": {**_BINARY, "description": "An artifact, under its own name and type."},
    }


def _answer_example(pipeline: Pipeline) -> dict[str, object]:
    """An answer with one artifact, whose content is cut short."""
    person = {"index": 0, "box": [205.5, 48.25, 398.0, 790.75], "score": 0.98, "keypoints": _SHOWN_KEYPOINTS}
    artifact = {"content_type": "image/png", "bytes": 4127, "base64": base64.b64encode(tiny_png()[:15]).decode("ascii")}
    return {
        "request_id": "5f0c1d9be1f94d0f8a4f3f6f5d2b7c11",
        "pipeline": pipeline.name,
        "status": "completed",
        "photo": {"width": 600, "height": 800},
        "persons": [person],
        "artifacts": {"upper_body_mask.png": artifact},
    }
