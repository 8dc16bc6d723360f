"""What the generated API description says about the pipelines' addresses."""

from collections.abc import Iterable, Mapping

from gateway.intake.media import JSON, MULTIPART
from gateway.pipelines.pipeline import Pipeline
from gateway.problems import MEDIA_TYPE, PROBLEMS, problem_fields

_BINARY = {"type": "string", "contentMediaType": "application/octet-stream"}
_BASE64 = {"type": "string", "contentEncoding": "base64"}
_PROBLEM_SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "enum": list(PROBLEMS)},
        "instance": {"type": "string"},
    },
}
_JSON_ANSWER = {
    "type": "object",
    "required": ["request_id", "pipeline", "status", "artifacts"],
    "properties": {
        "request_id": {"type": "string"},
        "pipeline": {"type": "string"},
        "status": {"const": "completed"},
        "photo": {"type": "object", "properties": {"width": {"type": "integer"}, "height": {"type": "integer"}}},
        "persons": {
            "type": "array",
            "items": {"type": "object"},
            "description": "index, box (x1, y1, x2, y2), score and keypoints (x, y, score), in source pixels",
        },
        "artifacts": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "properties": {
                    "content_type": {"type": "string"},
                    "bytes": {"type": "integer"},
                    "base64": _BASE64,
                },
            },
        },
    },
}


def run_operation(pipeline: Pipeline) -> dict[str, object]:
    """Parameters and request bodies of `POST /v1/run/{pipeline}`."""
    fields = pipeline.parameters.model_json_schema()["properties"]
    query = [{"name": name, "in": "query", "schema": _texts(schema)} for name, schema in fields.items()]
    return {"parameters": query, "requestBody": {"required": True, "content": _bodies(fields)}}


def run_responses() -> dict[int | str, dict[str, object]]:
    """The good answer's forms, and every error."""
    good: dict[str, object] = {
        "description": "One artifact: its bytes. Several: JSON, or multipart/mixed where Accept prefers it.",
        "content": {
            "image/png": {"schema": _BINARY},
            JSON: {"schema": _JSON_ANSWER},
            "multipart/mixed": {"schema": {"type": "string"}},
        },
        "headers": {name: {"schema": {"type": "string"}} for name in ("X-Request-Id", "Server-Timing")},
    }
    return {200: good, **problem_responses(PROBLEMS)}


def problem_responses(codes: Iterable[str]) -> dict[int | str, dict[str, object]]:
    """Error answers by status, with an example of each code."""
    by_status: dict[int | str, list[str]] = {}
    for code in codes:
        by_status.setdefault(PROBLEMS[code].status, []).append(code)
    return {status: _problem_response(listed) for status, listed in by_status.items()}


def _problem_response(codes: Iterable[str]) -> dict[str, object]:
    examples = {code: {"value": problem_fields(code, PROBLEMS[code].example)} for code in codes}
    content = {MEDIA_TYPE: {"schema": _PROBLEM_SCHEMA, "examples": examples}}
    return {"description": "; ".join(f"`{code}`: {PROBLEMS[code].title}" for code in codes), "content": content}


def _bodies(fields: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    form = {"image": {**_BINARY, "description": "The photo; `file` and `user_image` are accepted too."}}
    json_image = {
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
    texts = {name: _texts(schema) for name, schema in fields.items()}
    return {
        MULTIPART: {"schema": _object({**form, **texts})},
        JSON: {"schema": _object({"image": json_image, **fields})},
        "image/*": {"schema": _BINARY},
    }


def _object(properties: Mapping[str, object]) -> dict[str, object]:
    return {"type": "object", "properties": properties, "required": ["image"], "additionalProperties": False}


def _texts(schema: Mapping[str, object]) -> Mapping[str, object]:
    """The schema of a form or query field: a list there is comma-separated text."""
    if schema.get("type") != "array":
        return schema
    return {"type": "string", "description": f"{schema.get('description', '')} In a form: comma-separated."}
