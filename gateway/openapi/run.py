"""`POST /v1/run/{pipeline}`, as the API's description has it."""

from gateway.http.answers import single_types
from gateway.intake.submissions import JSON
from gateway.openapi.codes import RUN
from gateway.openapi.photos import BINARY, file_schema, parameters_schema, photo_bodies, query_parameters
from gateway.openapi.problems import COMPONENT, REQUEST_ID, Responses, problem_responses
from gateway.openapi.run_examples import EXAMPLES
from gateway.pipelines.registry import Pipeline
from gateway.routes.schemas import RunAnswer

_SERVER_TIMING = {
    "Server-Timing": {"description": "Milliseconds of wait and infer.", "schema": {"type": "string"}},
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
    example = EXAMPLES[pipeline.name]
    good: dict[str, object] = {
        "description": "One artifact: its bytes. Several: JSON, or as Accept prefers multipart/mixed or the only "
        "artifact of a type.",
        "model": RunAnswer,
        "content": {
            **{kind: {"schema": file_schema(kind)} for kind in single_types(pipeline)},
            JSON: {"example": example.answer(pipeline.name)},
            "multipart/mixed": {"schema": _parts_schema()},
        },
        "headers": {**REQUEST_ID, **_SERVER_TIMING},
    }
    return {200: good, **problem_responses((*RUN, *pipeline.refusals), f"/v1/run/{pipeline.name}")}


def _parts_schema() -> dict[str, object]:
    """The parts by their file names."""
    return {
        "type": "object",
        "properties": {"result.json": {"$ref": COMPONENT.format(model="RunSummary")}},
        "required": ["result.json"],
        "additionalProperties": {**BINARY, "description": "An artifact, under its own name and type."},
    }
