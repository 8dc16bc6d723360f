"""A request's fields, checked against a pipeline's parameters."""

from collections.abc import Iterable, Mapping

from gateway.pipelines.pipeline import Pipeline
from gateway.validation import validated


def parameters_json(pipeline: Pipeline, fields: Mapping[str, object], beside: Iterable[str] = ("image",)) -> bytes:
    """Validated parameters as the JSON object that the Triton model takes.

    `beside` are the names of what else the request may hold. Raises Problem `invalid_parameters`.
    """
    return validated(pipeline.parameters, fields, pipeline.defaults, beside).model_dump_json().encode()
