"""What is wrong with the environment, in the words of its variables."""

import os
from collections.abc import Mapping, Sequence

from pydantic import AliasChoices, ValidationError
from pydantic.fields import FieldInfo


class SettingsError(ValueError):
    """The environment holds values that cannot be used; the message names each of them."""


def variable_names(name: str, field: FieldInfo) -> Sequence[str]:
    """Environment variables that set a field, the preferred one first."""
    alias = field.validation_alias
    return [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else [name.upper()]


def complaints(error: ValidationError, fields: Mapping[str, FieldInfo]) -> list[str]:
    """One line for each bad variable: its name, its value, what would be right."""
    named = (
        (_variable(str(item["loc"][0]), fields) if item["loc"] else "", item["input"], item["msg"])
        for item in error.errors(include_url=False)
        if item["type"] != "default_factory_not_called"
    )
    return [
        f"{variable}={_shown(variable, value)}: {message}" if variable else message
        for variable, value, message in named
    ]


def _shown(variable: str, value: object) -> str:
    """What was said in the environment, or in a file."""
    secret = any(word in variable for word in ("SECRET", "PASSWORD", "DSN", "DATABASE_URL", "REDIS_URL"))
    return "…" if secret else os.environ.get(variable, str(value))


def _variable(location: str, fields: Mapping[str, FieldInfo]) -> str:
    """The variable that was set, among those of the field that pydantic means."""
    for name, field in fields.items():
        variables = variable_names(name, field)
        if location.upper() in variables:
            return next((variable for variable in variables if variable in os.environ), variables[0])
    return location.upper()
