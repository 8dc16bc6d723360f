"""The facial services' addresses, as the API's description has them."""

from collections.abc import Mapping

from pydantic import BaseModel

from gateway.intake.requests import FRONTAL_PIPELINE, FrontalFields
from gateway.openapi.jobs import job_bodies
from gateway.openapi.photos import Fields, parameters_schema, query_parameters
from gateway.openapi.problems import Responses
from gateway.pipelines.registry import Pipeline


def frontal_operation(registry: Mapping[str, Pipeline]) -> dict[str, object]:
    """Parameters and bodies of a submission."""
    fields = _fields(registry)
    return {
        "parameters": query_parameters(fields),
        "requestBody": {"required": True, "content": job_bodies(fields, fields)},
    }


def listed_response(model: type[BaseModel], description: str) -> Responses:
    """A JSON array."""
    return {200: {"description": description, "model": list[model]}}  # type: ignore[valid-type]


def figures_responses() -> Responses:
    """Prometheus's text format."""
    content = {"text/plain": {"schema": {"type": "string"}, "example": "api_requests_total{…} 17.0\n"}}
    return {200: {"description": "Every figure.", "content": content}}


def _fields(registry: Mapping[str, Pipeline]) -> Fields:
    own = FrontalFields.model_json_schema()["properties"]
    return {
        **(parameters_schema(registry[FRONTAL_PIPELINE])["properties"] if FRONTAL_PIPELINE in registry else {}),
        **own,
    }
