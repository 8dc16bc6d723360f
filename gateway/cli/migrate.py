"""`maskwright migrate`."""

import asyncio

from gateway.cli.shell import shell_settings
from gateway.cli.store_errors import store_errors_told
from gateway.cli.terminal import say
from gateway.postgres.stores import prepare
from gateway.settings import Settings, SettingsError


def migrate() -> None:
    """Make or renew the tables in PostgreSQL; the gateway and the workers do so too when they start.

    Stop those of an older version first, and keep a backup: an older version does not start on the new tables.
    """
    with store_errors_told():
        applied = asyncio.run(prepare(_settings()))
    for done in applied:
        say(f"applied {done}")
    if not applied:
        say("The tables are up to date.")


def _settings() -> Settings:
    """The settings. Raises SettingsError also where they name no database."""
    settings = shell_settings()
    if not settings.postgres_dsn.get_secret_value():
        raise SettingsError("POSTGRES_DSN=: the address of a database is needed")
    return settings
