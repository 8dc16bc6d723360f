"""What is wrong with the environment, in the words of its variables."""

from collections.abc import Mapping

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from gateway.settings.environment import Given, shown, variable_names


def complaints(error: ValidationError, fields: Mapping[str, FieldInfo], given: Mapping[str, Given]) -> list[str]:
    """One line for each bad variable: its name as it was set, its value, what would be right."""
    found: dict[str, list[str]] = {}
    for item in error.errors(include_url=False):
        if item["type"] != "default_factory_not_called":
            name = _field(str(item["loc"][0]), fields) if item["loc"] else ""
            found.setdefault(_start(name, item["input"], fields, given), []).append(_words(item, fields.get(name)))
    return [f"{start}{'; '.join(dict.fromkeys(messages))}" for start, messages in found.items()]


def _field(location: str, fields: Mapping[str, FieldInfo]) -> str:
    """The field that pydantic means: it says its name, or one of its variables."""
    names = (name for name, field in fields.items() if location.upper() in (name.upper(), *variable_names(name, field)))
    return next(names, "")


def _start(name: str, value: object, fields: Mapping[str, FieldInfo], given: Mapping[str, Given]) -> str:
    """What was said in the environment, or in a file, and where."""
    if not name:
        return ""
    said = given.get(name) or Given(variable_names(name, fields[name])[0], str(value), "")
    where = "" if said.origin.startswith("environment") or not said.origin else f" ({said.origin})"
    return f"{said.variable}={shown(said.value, fields[name])}{where}: "


def _words(item: ErrorDetails, field: FieldInfo | None) -> str:
    """Pydantic's words without what they say of Python; an example in the place of a pattern."""
    if item["type"] == "string_pattern_mismatch" and field and field.examples:
        return f"{field.examples[0]} would be right"
    return item["msg"].removeprefix("Value error, ")
