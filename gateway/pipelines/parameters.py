"""A request's fields, checked against a pipeline's parameters."""

from collections.abc import Mapping

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.pipelines.pipeline import Pipeline
from gateway.problems import Problem

_SHOWN = 5
_SHOWN_CHARACTERS = 60


def parameters_json(pipeline: Pipeline, fields: Mapping[str, object]) -> bytes:
    """Validated parameters as the JSON object that the Triton model takes.

    A field that is null or empty text counts as not given. Raises Problem `invalid_parameters`.
    """
    _refuse_unknown(pipeline, fields)
    given = {name: value for name, value in fields.items() if value not in (None, "", [], [""])}
    try:
        parameters = pipeline.parameters.model_validate({**pipeline.defaults, **given})
    except ValidationError as error:
        raise _invalid([_message(item) for item in error.errors(include_url=False)[:_SHOWN]]) from error
    return parameters.model_dump_json().encode()


def _refuse_unknown(pipeline: Pipeline, fields: Mapping[str, object]) -> None:
    accepted = pipeline.parameters.model_fields
    unknown = [_shown(name) for name in fields if name not in accepted]
    if unknown:
        listed = ", ".join(unknown[:_SHOWN]) + (", …" if len(unknown) > _SHOWN else "")
        raise _invalid([f"unknown: {listed}; accepted: image, {', '.join(accepted)}"])


def _message(error: ErrorDetails) -> str:
    name = str(error["loc"][0]) if error["loc"] else "parameters"
    if error["type"] == "literal_error":
        accepted = error["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
        return f"{name}: {_shown(error['input'])} is not accepted; accepted: {accepted}"
    return f"{name}: {error['msg']}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


def _invalid(messages: list[str]) -> Problem:
    return Problem("invalid_parameters", "; ".join(messages))
