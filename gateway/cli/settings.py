"""`maskwright settings`, and the settings of a command in the shell that it is typed into."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gateway.proxies import ProxyError
from gateway.settings import Settings, SettingsError, variable_names
from gateway.settings.origins import resolve
from gateway.terminal import complain


def settings() -> None:
    """Print every environment variable, its default and what it does, as a Markdown table."""
    typer.echo("\n".join(settings_table()))


def settings_table() -> Iterator[str]:
    """Lines of the table, in the order of the class."""
    yield "| variable | default | what it does |"
    yield "| --- | --- | --- |"
    for name, field in Settings.model_fields.items():
        variables = ", ".join(f"`{variable}`" for variable in variable_names(name, field))
        yield f"| {variables} | {_default(field)} | {field.description} |"


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "derived"
    default = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    if default in (None, "", ()):
        return "not set"
    if isinstance(field.default, tuple):
        return f"`{','.join(map(str, field.default))}`"
    return f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"


def shell_settings() -> Settings:
    """This shell's variables, then what the running stack was started with; conflicts are written to standard error.

    Raises SettingsError.
    """
    resolved = resolve()
    for line in resolved.conflicts:
        complain(line)
    return resolved.settings


@contextmanager
def exit_on_bad_settings() -> Iterator[None]:
    """Complain of wrong settings, and raise typer.Exit(2)."""
    try:
        yield
    except (SettingsError, ProxyError) as error:
        complain(*str(error).split("\n"))
        raise typer.Exit(2) from error
