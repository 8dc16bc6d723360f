"""Keys and the audit log, without a gateway: whoever may read its database or its files may make its keys."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import structlog

from gateway.access.audit import AuditLog, FileAudit
from gateway.access.keys import FileKeys, KeyStore
from gateway.cli.shell import shell_settings
from gateway.cli.store_errors import store_errors_told
from gateway.postgres.access import PostgresAudit, PostgresKeys
from gateway.postgres.database import find_database
from gateway.postgres.pool import open_pool
from gateway.settings import Settings, SettingsError

T = TypeVar("T")

_NOWHERE = (
    "POSTGRES_DSN=: no database is named, and no stack runs here that has one; start it with `maskwright up`, and for "
    "a gateway without a database set DB_USE_DATABASE=false"
)
"""A key in a file is no key to a gateway that looks into a database."""


@dataclass(frozen=True)
class Ledgers:
    """Where a gateway with the same settings keeps its keys and its audit log."""

    keys: KeyStore
    audit: AuditLog


def with_ledgers(work: Callable[[Ledgers], Awaitable[T]]) -> T:
    """What the work gives back. Raises typer.Exit after a message, where they cannot be had.

    Logs go to standard error: `KEY=$(maskwright keys create …)` is to be the key, also where that made the tables.
    """
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
    with store_errors_told():
        return asyncio.run(_work(shell_settings(), work))


async def _work(settings: Settings, work: Callable[[Ledgers], Awaitable[T]]) -> T:
    async with _opened(settings) as ledgers:
        return await work(ledgers)


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Ledgers]:
    if settings.db_use_database and not settings.uses_database:
        raise SettingsError(_NOWHERE)
    if not settings.uses_database:
        yield Ledgers(FileKeys(settings), FileAudit(settings))
        return
    database, _ = await find_database(settings)
    async with open_pool(database, settings.postgres_pool_size) as pool:
        yield Ledgers(PostgresKeys(pool), PostgresAudit(pool))
