"""Types that several groups of settings share."""

from typing import Annotated, Literal, TypeVar

from pydantic import BeforeValidator, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.settings.environment import read_environment, variable_names, without_line_end
from gateway.text import split_list

T = TypeVar("T")

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
Port = Annotated[int, Field(ge=1, le=65535)]
CommaSeparated = Annotated[T, BeforeValidator(split_list)]
"""A tuple given as comma-separated text."""


def upper(value: object) -> object:
    """Text in capitals, so that any case is accepted; anything else as it is."""
    return value.upper() if isinstance(value, str) else value


class SettingsGroup(BaseSettings):
    """A part of the configuration; each field's description says what it does and its unit."""

    model_config = SettingsConfigDict(frozen=True, populate_by_name=True, extra="ignore")

    @field_validator("*")
    @classmethod
    def _of_secrets(cls, value: object) -> object:
        """Every secret, wherever it was said, without a line end."""
        return SecretStr(without_line_end(value.get_secret_value())) if isinstance(value, SecretStr) else value

    def variable(self, name: str) -> str:
        """The variable that sets a field, as it is really spelt; the preferred one where none does."""
        field = type(self).model_fields[name]
        given = read_environment({name: field}).given
        return given[name].variable if given else variable_names(name, field)[0]
