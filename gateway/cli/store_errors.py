"""What a command that opens the stores itself says where it cannot."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from gateway.cli.terminal import complain
from gateway.errors import Problem
from gateway.postgres.connection import MigrationError
from gateway.settings import SettingsError


@contextmanager
def store_errors_told() -> Iterator[None]:
    """Tell of an error in one line, and raise typer.Exit: 2 for settings, 1 for the database."""
    try:
        yield
    except SettingsError as error:
        complain(*str(error).split("\n"))
        raise typer.Exit(2) from error
    except (MigrationError, Problem) as error:
        complain(error)
        raise typer.Exit(1) from error
