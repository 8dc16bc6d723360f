"""The addresses of jobs, as the API's description has them."""

import json
from collections.abc import Mapping

from pydantic import BaseModel

from gateway.intake.requests import DEFAULT_PIPELINE, JobFields, ProcessFields
from gateway.intake.submissions import JSON, MULTIPART
from gateway.openapi.job_examples import COMPLETED, QUEUED
from gateway.openapi.photos import (
    BINARY,
    INLINE_IMAGE,
    Fields,
    fields_of,
    file_schema,
    given,
    json_example,
    parameters_schema,
    query_parameters,
    styles,
    with_fields,
)
from gateway.openapi.problems import COMPONENT, REQUEST_ID, Responses
from gateway.pipelines.registry import Pipeline
from gateway.results import MEDIA_TYPES
from gateway.routes.job_schemas import JobView

_URL = {"type": "string", "format": "uri", "description": "http or https; private networks are refused."}
_S3 = {"type": "string", "description": "s3://bucket/key, or a key in MINIO_BUCKET."}
_FORM_IMAGES = {
    "image": {**BINARY, "description": "The photo; or one of the fields url and s3."},
    "url": {**_URL, "description": f"Where the photo is, instead of sending it: {_URL['description']}"},
    "s3": {**_S3, "description": f"Where the photo is, instead of sending it: {_S3['description']}"},
}
_JSON_IMAGE = {
    "description": "The photo as base64, a `data:` prefix allowed; or where it is.",
    "oneOf": [
        *INLINE_IMAGE["oneOf"],
        {"type": "object", "properties": {"url": _URL}, "required": ["url"]},
        {"type": "object", "properties": {"type": {"const": "url"}, "data": _URL}, "required": ["type", "data"]},
        {"type": "object", "properties": {"s3": _S3}, "required": ["s3"]},
        {"type": "object", "properties": {"type": {"const": "s3"}, "data": _S3}, "required": ["type", "data"]},
    ],
}
_HEADERS = (
    ("Idempotency-Key", "Names the request, like `request_id`: the same request again gives the same job."),
    ("traceparent", "W3C Trace Context: the job and its messages belong to this trace."),
)
_LOCATION = {"Location": {"description": "The job's address.", "schema": {"type": "string"}}}
_REPLAYED = {"Idempotent-Replayed": {"description": "The job was known.", "schema": {"const": "true"}}}
_TEXT = {"type": "string"}
_JOB = {
    **_TEXT,
    "contentMediaType": JSON,
    "contentSchema": {"$ref": COMPONENT.format(model=JobView.__name__)},
}
_EVENT = {
    "description": "Every event of the stream.",
    "type": "object",
    "required": ["event", "data"],
    "oneOf": [
        {"properties": {"event": {"const": "state"}, "id": _TEXT, "data": _JOB}, "required": ["id"]},
        {"properties": {"event": {"const": "deleted"}, "data": {"const": "{}"}}},
    ],
}


def submit_operation(registry: Mapping[str, Pipeline]) -> dict[str, object]:
    """Headers, parameters and request bodies of `POST /v1/jobs`; the fields are those of every pipeline."""
    own = _properties(JobFields)
    fields = {**own, **fields_of(registry)}
    usual = {**own, **parameters_schema(registry.get(DEFAULT_PIPELINE, next(iter(registry.values()))))["properties"]}
    headers = [{"name": name, "in": "header", "description": text, "schema": _TEXT} for name, text in _HEADERS]
    return {
        "parameters": [*headers, *query_parameters(fields)],
        "requestBody": {"required": True, "content": job_bodies(fields, usual)},
    }


def job_bodies(fields: Fields, usual: Fields) -> dict[str, object]:
    """A photo, or where it is, and fields; the example has the usual ones of them."""
    return {
        MULTIPART: {"schema": with_fields(_FORM_IMAGES, fields), "encoding": styles(fields)},
        JSON: {"schema": with_fields({"image": _JSON_IMAGE}, fields), "example": json_example(usual)},
        "image/*": {"schema": BINARY},
    }


def submit_responses() -> Responses:
    """The two good answers."""
    return {
        202: {**_view("The job waits; ask its address.", QUEUED), "headers": {**REQUEST_ID, **_LOCATION}},
        200: {
            **_view("The same request came before: this is its job.", COMPLETED),
            "headers": {**REQUEST_ID, **_LOCATION, **_REPLAYED},
        },
    }


def job_response(description: str) -> Responses:
    """A job."""
    return {200: _view(description, COMPLETED)}


def process_operation() -> dict[str, object]:
    """The form of `POST /process`."""
    image = {**BINARY, "description": "The photo."}
    schema = {
        "type": "object",
        "properties": {"user_image": image, **_properties(ProcessFields)},
        "required": ["user_image", "user_id", "job_id"],
    }
    return {"requestBody": {"required": True, "content": {MULTIPART: {"schema": schema}}}}


def path_operation(**described: str) -> dict[str, object]:
    """Parameters in the path, with what they are."""
    return {
        "parameters": [
            {"name": name, "in": "path", "required": True, "description": text, "schema": _TEXT}
            for name, text in described.items()
        ]
    }


def query_operation(model: type[BaseModel]) -> dict[str, object]:
    """Optional parameters in the address."""
    return {
        "parameters": [
            {
                "name": name,
                "in": "query",
                "allowEmptyValue": True,
                "description": schema["description"],
                "schema": given(schema),
            }
            for name, schema in _properties(model).items()
        ]
    }


def stream_operation(with_id: Mapping[str, object]) -> dict[str, object]:
    """The job's id, and a ticket in the place of a header."""
    path = with_id["parameters"]
    described = "What `POST …/events/ticket` gave, for an EventSource, which can send no header."
    ticket = {"name": "ticket", "in": "query", "required": False, "description": described, "schema": _TEXT}
    return {"parameters": [*(path if isinstance(path, list) else []), ticket]}


def stream_responses() -> Responses:
    """The stream of a job's states, each event an object, and the answer to one who has seen the last."""
    shown = "".join(
        f"id: {event_id}\nevent: state\ndata: {json.dumps(job)}\n\n"
        for event_id, job in (("0-queued", QUEUED), ("1-completed", COMPLETED))
    )
    content = {"text/event-stream": {"schema": _EVENT, "example": shown}}
    return {
        200: {
            "description": "Server-sent events: `state`, whose data is the job, and `deleted`, when there is none.",
            "content": content,
        },
        204: {"description": "`Last-Event-ID` names the job's outcome: there is nothing more to come."},
    }


def file_responses() -> Responses:
    """A file of any type."""
    content = {kind: {"schema": {} if kind == JSON else file_schema(kind)} for kind in MEDIA_TYPES.values()}
    return {
        200: {
            "description": "The file.",
            "content": content,
            "headers": {"ETag": {"description": "For If-None-Match.", "schema": _TEXT}},
        },
        304: {"description": "`If-None-Match` names what the file still is."},
    }


def answer_response(
    model: type[BaseModel], description: str, example: Mapping[str, object] | None = None, status: int = 200
) -> Responses:
    """A JSON object."""
    content = {"content": {JSON: {"example": example}}} if example else {}
    return {status: {"description": description, "model": model, **content}}


def deletion_responses() -> Responses:
    """No content, or the job that is not gone yet."""
    waits = (
        "The job is `deleting`: S3 keeps some of its objects, or a worker may still write some; they are removed later."
    )
    return {
        **nothing_response("The job is gone, its photo and its masks too."),
        202: _view(waits, {**COMPLETED, "state": "deleting", "artifacts": {}}),
    }


def nothing_response(description: str) -> Responses:
    """No content."""
    return {204: {"description": description}}


def _view(description: str, example: Mapping[str, object]) -> dict[str, object]:
    return {"description": description, "model": JobView, "content": {JSON: {"example": example}}}


def _properties(model: type[BaseModel]) -> dict[str, dict[str, object]]:
    properties: dict[str, dict[str, object]] = model.model_json_schema()["properties"]
    return properties
