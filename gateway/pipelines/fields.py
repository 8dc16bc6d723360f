"""Fields of a request, checked against a pydantic model; what is wrong is told as one problem."""

from collections.abc import Iterable, Mapping
from itertools import islice
from types import MappingProxyType
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from gateway.bounds import check_fields
from gateway.errors import Problem
from gateway.text import split_list, without_repeats

Model = TypeVar("Model", bound=BaseModel)
T = TypeVar("T")

UniqueList = Annotated[tuple[T, ...], BeforeValidator(split_list), AfterValidator(without_repeats)]
"""A list, or comma-separated text; what comes again in it is left out."""

_NONE: Mapping[str, object] = MappingProxyType({})
_SHOWN = 5
_SHOWN_CHARACTERS = 60


class Parameters(BaseModel):
    """What a request to a pipeline may say; every field is optional."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def validated(
    model: type[Model],
    fields: Mapping[str, object],
    defaults: Mapping[str, object] = _NONE,
    beside: Iterable[str] = (),
) -> Model:
    """The model made of the fields, and of the defaults where they say nothing.

    A field that is null or empty text counts as not given. `beside` are the names of what else the request may hold,
    for the message. Raises Problem `invalid_parameters`.
    """
    _refuse_unknown(model, fields, beside)
    given = {name: value for name, value in fields.items() if value not in (None, "", [], [""])}
    check_fields(model, given)  # pydantic builds an error for every wrong item of a list
    try:
        return model.model_validate({**defaults, **given})
    except ValidationError as error:
        raise _invalid([_message(item) for item in error.errors(include_url=False)[:_SHOWN]]) from error


def known(model: type[BaseModel], fields: Mapping[str, object]) -> dict[str, object]:
    """Those of the fields that the model has, for addresses that pass over others, as the facial services do."""
    return {name: value for name, value in fields.items() if name in model.model_fields}


def _refuse_unknown(model: type[BaseModel], fields: Mapping[str, object], beside: Iterable[str]) -> None:
    unknown = [_shown(name) for name in islice((name for name in fields if name not in model.model_fields), _SHOWN + 1)]
    if unknown:
        listed = ", ".join(unknown[:_SHOWN]) + (", …" if len(unknown) > _SHOWN else "")
        raise _invalid([f"unknown: {listed}; accepted: {', '.join((*beside, *model.model_fields))}"])


def _message(error: ErrorDetails) -> str:
    name = str(error["loc"][0]) if error["loc"] else "parameters"
    if error["type"] == "literal_error":
        accepted = error["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
        return f"{name}: {_shown(error['input'])} is not accepted; accepted: {accepted}"
    return f"{name}: {error['msg']}"


def _shown(value: object) -> str:
    text = repr(value[:_SHOWN_CHARACTERS] if isinstance(value, str) else value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


def _invalid(messages: list[str]) -> Problem:
    return Problem("invalid_parameters", "; ".join(messages))
