"""`maskwright migrate`."""

import asyncio

import typer

from gateway.postgres.migrations import MigrationError
from gateway.postgres.stores import prepare
from gateway.problems import Problem
from gateway.settings import Settings, SettingsError


def migrate() -> None:
    """Make or renew the tables in PostgreSQL; the gateway and the workers do so too when they start.

    Stop those of an older version first, and keep a backup: an older version does not start on the new tables.
    """
    try:
        applied = asyncio.run(prepare(_settings()))
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    except (MigrationError, Problem) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    for migration in applied:
        typer.echo(f"applied {migration.name}")
    if not applied:
        typer.echo("The tables are up to date.")


def _settings() -> Settings:
    """The settings. Raises SettingsError also where they name no database."""
    settings = Settings.from_environment()
    if not settings.postgres_dsn.get_secret_value():
        raise SettingsError("POSTGRES_DSN=: the address of a database is needed")
    return settings
