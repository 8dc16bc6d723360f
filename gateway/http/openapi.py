"""One address of the API and its description (OpenAPI 3.1), as far as FastAPI cannot read it off the handler."""

import base64
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any, Self, cast

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from gateway.errors import MEDIA_TYPE, PROBLEMS, RETRIED, problem_fields
from gateway.http.guard import Rule, guarded
from gateway.intake.submissions import JSON, MULTIPART, query_fields
from gateway.pipelines.outputs import Answer
from gateway.pipelines.registry import Pipeline
from gateway.pipelines.validation import validated

Responses = dict[int | str, dict[str, object]]
Handler = Callable[[Request], Awaitable[Response]]
Parameters = Sequence[Mapping[str, object]]
Fields = Mapping[str, Mapping[str, object]]
"""JSON schemas of a request's fields by name, each with its default."""

COMPONENT = "#/components/schemas/{model}"
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
_SECURITY_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A JSON Web Token or an API key. Asked for with ACCESS=required.",
    },
    "key": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "An API key. Asked for with ACCESS=required.",
    },
}
TEXT = {"type": "string"}
REQUEST_ID = {"X-Request-Id": {"description": "Names the request in the log.", "schema": TEXT}}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}}

_ACCESS_ERRORS = (
    *("credentials_missing", "token_invalid", "token_expired", "key_unknown", "key_revoked", "key_expired"),
    *("scope_missing", "rate_limited", "store_unavailable", "keys_unavailable"),
)
"""Of every address that asks who the caller is; keys are looked up in the database."""
_DOOR_ERRORS = ("host_invalid", "host_not_allowed", "origin_not_allowed")
"""Of every address: requests that somebody else's web page made a browser send."""
INTERNAL_ERRORS = ("internal_error",)
STORE_ERRORS = ("store_unavailable", *INTERNAL_ERRORS)
JOB_ERRORS = ("job_not_found", *STORE_ERRORS)
LIST_ERRORS = ("invalid_parameters", *STORE_ERRORS)
BODY_ERRORS = (
    *("body_empty", "request_timeout", "body_too_large", "unsupported_media_type", "invalid_multipart"),
    *("encoding_unsupported", "invalid_encoding", "field_too_large"),
    *("invalid_parameters", "queue_full", "pipeline_not_found"),
)
PHOTO_ERRORS = (
    *("image_empty", "image_too_large", "image_unsupported", "image_truncated", "image_corrupt", "image_animated"),
    "image_too_small",
)
JSON_ERRORS = ("missing_image", "invalid_json", "invalid_base64")
FORM_ERRORS = (*BODY_ERRORS, *PHOTO_ERRORS, "idempotency_conflict", "storage_unavailable", *STORE_ERRORS)
"""Of addresses that make a job of a form."""
SUBMISSION_ERRORS = (*FORM_ERRORS, *JSON_ERRORS, "url_not_allowed")
"""Of addresses that make a job of a form or of JSON."""


@dataclass(frozen=True)
class Address:
    """One address: who serves it, and its description; the handler's docstring tells what it is for.

    `route` is a method and a path. `responses` are the good answers, the usual one first; `errors` are the codes of the
    others, but for those that every address has. `body` describes a request's body by media type.
    """

    route: str
    handler: Handler
    responses: Responses
    errors: tuple[str, ...]
    parameters: Parameters = ()
    body: Mapping[str, object] | None = None
    summary: str | None = None
    name: str | None = None

    def add_to(self, app: FastAPI, tag: str, rule: Rule) -> None:
        """Serve it to those whom the rule lets in, and describe it."""
        method, path = self.route.split()
        summary, _, description = inspect.cleandoc(self.handler.__doc__ or "").partition("\n\n")
        errors = {*_DOOR_ERRORS, *(_ACCESS_ERRORS if rule.scope else ()), *self.errors}
        app.add_api_route(
            path,
            guarded(rule, self.handler),
            methods=[method],
            name=self.name,
            summary=self.summary or summary,
            description=description,
            status_code=int(next(iter(self.responses))),
            response_class=Response,
            responses={**self.responses, **_problem_responses(errors, path.replace(":path", ""))},
            openapi_extra=self._operation(rule),
            tags=[tag],
        )

    def _operation(self, rule: Rule) -> dict[str, object]:
        """Of the security schemes either is enough; the scope is told with each, as OpenAPI 3.1 tells roles."""
        security = [{scheme: [rule.scope]} for scheme in _SECURITY_SCHEMES] if rule.scope else []
        parameters = {"parameters": list(self.parameters)} if self.parameters else {}
        body = {"requestBody": {"required": True, "content": self.body}} if self.body else {}
        return {**parameters, **body, "security": security}


class Addresses(list[Address]):
    """Addresses of one kind; those whose description depends on the pipelines are made where these are known."""

    def serve(
        self, route: str, responses: Responses, errors: tuple[str, ...], parameters: Parameters = ()
    ) -> Callable[[Handler], Handler]:
        """Decorates the handler of an address."""

        def add(handler: Handler) -> Handler:
            self.append(Address(route, handler, responses, errors, parameters))
            return handler

        return add


def complete(document: dict[str, Any], routes: Iterable[BaseRoute], part: type[Answer]) -> None:
    """Complete FastAPI's description; `part` is a model of a part of an answer, which no handler's own model names."""
    schema = part.model_json_schema(ref_template=COMPONENT)
    schemas = {**schema.pop("$defs"), part.__name__: schema, "Problem": _PROBLEM_SCHEMA}
    document["components"]["schemas"].update(schemas)
    document["components"]["securitySchemes"] = _SECURITY_SCHEMES
    for route in routes:
        if isinstance(route, APIRoute) and route.include_in_schema:
            _restore_examples(route, document["paths"][route.path_format])


def _restore_examples(route: APIRoute, operations: Mapping[str, Mapping[str, Any]]) -> None:
    """FastAPI leaves every null out of a description, also where it is a value."""
    for method, (status, answer) in product(route.methods or (), route.responses.items()):
        content = operations[method.lower()]["responses"][str(status)].get("content", {})
        for kind, described in answer.get("content", {}).items():
            if "example" in described:
                content[kind]["example"] = described["example"]


def _problem_responses(codes: Iterable[str], path: str) -> Responses:
    """Errors of an address by status, with an example of each code."""
    by_status: dict[int, list[str]] = {}
    for code in PROBLEMS:
        if code in codes:
            by_status.setdefault(PROBLEMS[code].status, []).append(code)
    return {status: _problem_response(status, listed, path) for status, listed in sorted(by_status.items())}


def _problem_response(status: int, codes: Iterable[str], path: str) -> dict[str, object]:
    examples = {code: {"summary": PROBLEMS[code].title, "value": _problem_example(code, path)} for code in codes}
    return {
        "description": "; ".join(f"`{code}`: {PROBLEMS[code].title}" for code in codes),
        "content": {MEDIA_TYPE: {"schema": {"$ref": COMPONENT.format(model="Problem")}, "examples": examples}},
        "headers": {**REQUEST_ID, **(_RETRY_AFTER if status in RETRIED else {})},
    }


def _problem_example(code: str, path: str) -> dict[str, object]:
    entry = PROBLEMS[code]
    return {**problem_fields(code, entry.example), "instance": entry.example_path or path}


def answers(
    model: type[Answer],
    description: str,
    status: int = 200,
    example: Mapping[str, object] | None = None,
    headers: Mapping[str, object] | None = None,
) -> Responses:
    """A JSON object; the example is the model's own, if no other is given."""
    told = {"headers": {**REQUEST_ID, **headers}} if headers else {}
    content = {JSON: {"example": example or model.example()}}
    return {status: {"description": description, "model": model, "content": content, **told}}


def answers_nothing(description: str) -> Responses:
    """No content."""
    return {204: {"description": description}}


def in_path(**described: str) -> Parameters:
    """Parameters in the path, with what they are."""
    return [
        {"name": name, "in": "path", "required": True, "description": text, "schema": TEXT}
        for name, text in described.items()
    ]


JOB_ID = in_path(id="The job's id.")


Cursor = Annotated[int | None, Field(ge=0, le=2**63 - 1, description="`next` of the page before.")]
MOST_LISTED = 200
"""Entries of a page."""


class Query(BaseModel):
    """Optional parameters in the address."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def of(cls, request: Request) -> Self:
        """Those of a request. Raises Problem `invalid_parameters`."""
        return validated(cls, query_fields(request.url.query))


def in_query(model: type[Query]) -> Parameters:
    """The same, described."""
    return [_in_query(name, schema, str(schema["description"])) for name, schema in fields_of(model).items()]


def _in_query(name: str, schema: Mapping[str, object], description: str) -> dict[str, object]:
    """Objects and nested lists are text in an address: their descriptions say how it is written."""
    told = {"description": description, "schema": _text(_given(schema)), **_style(schema)}
    return {"name": name, "in": "query", "allowEmptyValue": True, **told}


def fields_of(model: type[BaseModel]) -> Fields:
    """JSON schemas of a model's fields."""
    return cast("Fields", model.model_json_schema()["properties"])


def parameters_schema(pipeline: Pipeline) -> dict[str, dict[str, dict[str, object]]]:
    """JSON schema of a pipeline's parameters; the defaults are those in force."""
    schema = pipeline.parameters.model_json_schema()
    for name, value in pipeline.defaults.items():
        schema["properties"][name]["default"] = value
    return schema


def fields_of_any(registry: Mapping[str, Pipeline]) -> Fields:
    """JSON schemas of the fields of all pipelines; a field that several have may be what any of them takes."""
    known: dict[str, dict[str, Mapping[str, object]]] = {}
    for pipeline in registry.values():
        for name, schema in parameters_schema(pipeline)["properties"].items():
            known.setdefault(name, {})[pipeline.name] = schema
    return {name: _merged(schemas) for name, schemas in known.items()}


def _merged(schemas: Fields) -> Mapping[str, object]:
    """The default is that of the first pipeline; the description says the others'."""
    first, *others = schemas.values()
    if not others:
        return first
    shared = {key: first[key] for key in ("type", "default") if key in first}
    choices = [_bare(schema) for schema in schemas.values()]
    texts = [f"{name}: {schema['description']}" for name, schema in schemas.items()]
    return {**shared, "anyOf": choices, "description": " ".join(texts)}


def query_parameters(fields: Fields) -> Parameters:
    """Fields in the address. Defaults stand in the text alone: pages that fill them in would send them twice."""
    return [_query_parameter(name, schema) for name, schema in fields.items()]


def _query_parameter(name: str, schema: Mapping[str, object]) -> dict[str, object]:
    default = schema["default"]
    items = default if isinstance(default, list | tuple) else () if default in (None, {}) else (default,)
    shown = ",".join(map(str, items))
    description = f"{schema['description']} Here or in the body, not both. Default: {shown or 'none'}."
    return _in_query(name, schema, description)


def _given(schema: Mapping[str, object]) -> dict[str, object]:
    """A field's schema where it is given at all: without null, description and default."""
    bare = _bare(schema)
    choices = [choice for choice in cast("Sequence[object]", bare.get("anyOf", ())) if choice != {"type": "null"}]
    if len(choices) != 1:
        return {**bare, "anyOf": choices} if choices else bare
    rest = {key: value for key, value in bare.items() if key != "anyOf"}
    return {**rest, **cast("Mapping[str, object]", choices[0])}


def _bare(schema: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in schema.items() if key not in ("default", "description")}


def _text(schema: Mapping[str, object]) -> Mapping[str, object]:
    choices = cast("Sequence[Mapping[str, Mapping[str, object]]]", schema.get("anyOf", [schema]))
    nested = any(choice.get("items", choice).get("type") in ("object", "array") for choice in choices)
    return TEXT if nested else schema


def _style(schema: Mapping[str, object]) -> dict[str, object]:
    """How a list is written in a query or a form: separated by commas."""
    return {"style": "form", "explode": False} if schema.get("type") == "array" else {}


def file_schema(kind: str) -> dict[str, object]:
    """The bytes of a file of this media type."""
    return {"type": "string", "contentMediaType": kind}


_TINY_PNG = "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAIAAACQkWg2AAAAFElEQVR4nGNoIBEwjGoY1TB8NQAAJYSAEGy7FvQAAAAASUVORK5CYII="
BINARY = file_schema("application/octet-stream")
_BASE64 = {"type": "string", "contentEncoding": "base64"}
_URL = {"type": "string", "format": "uri", "description": "http or https; private networks are refused."}
_S3 = {"type": "string", "description": "s3://bucket/key, or a key in MINIO_BUCKET."}
_IMAGE_FILE: Fields = {"image": {**BINARY, "description": "The photo; `file` and `user_image` are accepted too."}}
_IMAGE_FILE_OR_PLACE: Fields = {
    "image": {**BINARY, "description": "The photo; or one of the fields url and s3."},
    "url": {**_URL, "description": f"Where the photo is, instead of sending it: {_URL['description']}"},
    "s3": {**_S3, "description": f"Where the photo is, instead of sending it: {_S3['description']}"},
}


def _typed(kind: str, schema: Mapping[str, object]) -> list[Mapping[str, object]]:
    """The two ways in which JSON writes a photo, or its place, as an object."""
    data = {"type": {"const": kind}, "data": schema}
    return [
        {"type": "object", "properties": {kind: schema}, "required": [kind]},
        {"type": "object", "properties": data, "required": list(data)},
    ]


_INLINE = [_BASE64, *_typed("base64", _BASE64)]
_INLINE_IMAGE = {"description": "The photo as base64; a `data:` prefix is allowed.", "oneOf": _INLINE}
_INLINE_IMAGE_OR_PLACE = {
    "description": "The photo as base64, a `data:` prefix allowed; or where it is.",
    "oneOf": [*_INLINE, *_typed("url", _URL), *_typed("s3", _S3)],
}


def tiny_png() -> bytes:
    """The photo of the examples, the smallest that is accepted: a grey PNG of 16×16 pixels."""
    return base64.b64decode(_TINY_PNG)


def photo_bodies(fields: Fields) -> Mapping[str, object]:
    """A photo and fields as a form, as JSON, and a photo alone."""
    return _bodies(_IMAGE_FILE, _INLINE_IMAGE, fields, fields)


def job_bodies(fields: Fields, usual: Fields) -> Mapping[str, object]:
    """The same, where the photo may also be told by its place; the example has the usual ones of the fields."""
    return _bodies(_IMAGE_FILE_OR_PLACE, _INLINE_IMAGE_OR_PLACE, fields, usual)


def _bodies(files: Fields, inline: Mapping[str, object], fields: Fields, usual: Fields) -> Mapping[str, object]:
    """The photo is required where there is one way to give it."""
    in_form = form(files, fields, ["image"] if len(files) == 1 else [])[MULTIPART]
    in_json = _object({"image": inline, **fields}, ["image"])
    alone = {"additionalProperties": False}
    photo = {"type": "base64", "data": _TINY_PNG}
    example = {"image": photo, **{name: schema["default"] for name, schema in usual.items()}}
    return {
        MULTIPART: {**in_form, "schema": {**in_form["schema"], **alone}},
        JSON: {"schema": {**in_json, **alone}, "example": example},
        "image/*": {"schema": BINARY},
    }


def form(files: Fields, fields: Fields, required: Sequence[str]) -> dict[str, dict[str, dict[str, object]]]:
    """A form of files and fields."""
    encoding: dict[str, object] = {name: style for name, schema in fields.items() if (style := _style(schema))}
    described: dict[str, dict[str, object]] = {"schema": _object({**files, **fields}, required)}
    if encoding:
        described["encoding"] = encoding
    return {MULTIPART: described}


def _object(properties: Fields, required: Sequence[str]) -> dict[str, object]:
    return {"type": "object", "properties": properties, **({"required": required} if required else {})}
