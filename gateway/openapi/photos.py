"""Requests that bring a photo and parameters, as the API's description has them."""

import base64
from collections.abc import Mapping, Sequence
from typing import cast

from gateway.intake.submissions import JSON, MULTIPART
from gateway.openapi.example_photo import tiny_png
from gateway.pipelines.registry import Pipeline

Fields = Mapping[str, Mapping[str, object]]
"""JSON schemas of a request's fields by name, each with its default."""


def file_schema(kind: str) -> dict[str, object]:
    """The bytes of a file of this media type."""
    return {"type": "string", "contentMediaType": kind}


BINARY = file_schema("application/octet-stream")
_BASE64 = {"type": "string", "contentEncoding": "base64"}
_FORM_IMAGE = {**BINARY, "description": "The photo; `file` and `user_image` are accepted too."}
INLINE_IMAGE = {
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


def parameters_schema(pipeline: Pipeline) -> dict[str, dict[str, dict[str, object]]]:
    """JSON schema of a pipeline's parameters; the defaults are those in force."""
    schema = pipeline.parameters.model_json_schema()
    for name, value in pipeline.defaults.items():
        schema["properties"][name]["default"] = value
    return schema


def fields_of(registry: Mapping[str, Pipeline]) -> Fields:
    """JSON schemas of the fields of any pipeline; what several know by one name may be what any of them takes."""
    known: dict[str, dict[str, Mapping[str, object]]] = {}
    for pipeline in registry.values():
        for name, schema in parameters_schema(pipeline)["properties"].items():
            known.setdefault(name, {})[pipeline.name] = schema
    return {name: _merged(schemas) for name, schemas in known.items()}


def query_parameters(fields: Fields) -> list[dict[str, object]]:
    """Fields in the address. Defaults are only told: pages that fill them in would send them in the body too."""
    return [_query_parameter(name, schema) for name, schema in fields.items()]


def photo_bodies(fields: Fields) -> dict[str, object]:
    """A photo and fields as a form, as JSON, and a photo alone."""
    return {
        MULTIPART: {"schema": with_fields({"image": _FORM_IMAGE}, fields), "encoding": styles(fields)},
        JSON: {"schema": with_fields({"image": INLINE_IMAGE}, fields), "example": json_example(fields)},
        "image/*": {"schema": BINARY},
    }


def with_fields(images: Mapping[str, object], fields: Fields) -> dict[str, object]:
    """An object of a photo and fields; the photo is required where there is one way to give it."""
    required = {"required": ["image"]} if len(images) == 1 else {}
    return {"type": "object", "properties": {**images, **fields}, **required, "additionalProperties": False}


def styles(fields: Fields) -> dict[str, object]:
    """How lists are written in a form."""
    return {name: style for name, schema in fields.items() if (style := _style(schema))}


def json_example(fields: Fields) -> dict[str, object]:
    """A request with every default spelt out."""
    image = {"type": "base64", "data": base64.b64encode(tiny_png()).decode("ascii")}
    return {"image": image, **{name: schema["default"] for name, schema in fields.items()}}


def given(schema: Mapping[str, object]) -> dict[str, object]:
    """A field's schema where it is given at all: without null, description and default."""
    bare = _bare(schema)
    choices = [choice for choice in cast("Sequence[object]", bare.get("anyOf", ())) if choice != {"type": "null"}]
    if len(choices) != 1:
        return {**bare, "anyOf": choices} if choices else bare
    rest = {key: value for key, value in bare.items() if key != "anyOf"}
    return {**rest, **cast("Mapping[str, object]", choices[0])}


def _merged(schemas: Mapping[str, Mapping[str, object]]) -> Mapping[str, object]:
    """The default is that of the first pipeline; the description says the others'."""
    first, *others = schemas.values()
    if not others:
        return first
    shared = {key: first[key] for key in ("type", "default") if key in first}
    choices = [_bare(schema) for schema in schemas.values()]
    texts = [f"{name}: {schema['description']}" for name, schema in schemas.items()]
    return {**shared, "anyOf": choices, "description": " ".join(texts)}


def _bare(schema: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in schema.items() if key not in ("default", "description")}


def _query_parameter(name: str, schema: Mapping[str, object]) -> dict[str, object]:
    default = schema["default"]
    items = default if isinstance(default, list | tuple) else () if default in (None, {}) else (default,)
    shown = ",".join(map(str, items))
    description = f"{schema['description']} Here or in the body, not both. Default: {shown or 'none'}."
    told = {"description": description, "schema": _text(given(schema)), **_style(schema)}
    return {"name": name, "in": "query", "allowEmptyValue": True, **told}


def _text(schema: Mapping[str, object]) -> Mapping[str, object]:
    """Objects and nested lists are text in an address: their descriptions say how it is written."""
    choices = cast("Sequence[Mapping[str, Mapping[str, object]]]", schema.get("anyOf", [schema]))
    nested = any(choice.get("items", choice).get("type") in ("object", "array") for choice in choices)
    return {"type": "string"} if nested else schema


def _style(schema: Mapping[str, object]) -> dict[str, object]:
    """How a list is written in a query or a form: separated by commas."""
    return {"style": "form", "explode": False} if schema.get("type") == "array" else {}
