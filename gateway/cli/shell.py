"""The settings of a command, in the shell that it is typed into."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from gateway.proxies import ProxyError
from gateway.settings import Settings, SettingsError
from gateway.settings.origins import resolve
from gateway.terminal import complain


def shell_settings() -> Settings:
    """This shell's variables, then what the running stack was started with; a conflict is told on standard error.

    Raises SettingsError.
    """
    resolved = resolve()
    for line in resolved.conflicts:
        complain(line)
    return resolved.settings


@contextmanager
def told() -> Iterator[None]:
    """Tell of wrong settings, and raise typer.Exit(2)."""
    try:
        yield
    except (SettingsError, ProxyError) as error:
        complain(*str(error).split("\n"))
        raise typer.Exit(2) from error
