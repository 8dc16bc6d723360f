"""Fields of a request, checked against a pydantic model; what is wrong is told as one problem."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from gateway.errors import Problem
from gateway.untrusted_text import split_list, without_repeats

MAX_TEXT_BYTES = 1024 * 1024
"""Of everything in a body that is not the photo."""


@dataclass(frozen=True)
class Bounds:
    """What one field may have: characters in all its texts, and values in all its lists and objects.

    The defaults are those of every field whose annotation says no others.
    """

    characters: int = 16_384
    values: int = 512

    def check(self, name: str, value: object) -> None:
        """Raise Problem `invalid_parameters`."""
        characters = values = 0
        level = [value]
        while level:
            containers = [items for items in level if isinstance(items, (list, dict))]
            characters += sum(map(len, [text for text in level if isinstance(text, str)]))
            values += sum(map(len, containers))
            if characters > self.characters:
                raise _too_many(name, characters, "characters", self.characters)
            if values > self.values:
                raise _too_many(name, values, "values", self.values)
            level = [inside for items in containers for inside in items]  # of a dict its names
            level += [inside for items in containers if isinstance(items, dict) for inside in items.values()]


_USUAL = Bounds()


def check_fields(model: type[BaseModel], fields: Mapping[str, object]) -> None:
    """Raise Problem `invalid_parameters` where a field has more than the model says."""
    for name, value in fields.items():
        known = model.model_fields.get(name)
        own = (one for one in known.metadata if isinstance(one, Bounds)) if known else iter(())
        next(own, _USUAL).check(name, value)


def too_much_beside(name: str, size: int) -> Problem:
    """The problem of a body that has so many bytes beside its photo, most of them in the field `name`."""
    limit = f"at most {MAX_TEXT_BYTES} are accepted in all fields but the photo"
    return Problem("field_too_large", f"{name[:60]}: {size} bytes; {limit}")


def _too_many(name: str, count: int, of: str, limit: int) -> Problem:
    return Problem("invalid_parameters", f"{name[:60]}: {count} {of}; at most {limit} are accepted")


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
