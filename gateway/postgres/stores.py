"""The stores of one process in PostgreSQL, from the settings."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from gateway.access.audit import AuditLog
from gateway.access.keys import KeyBook
from gateway.cache.cache import Cache
from gateway.deadline import Deadline
from gateway.jobs.deliveries import Announce, Outbox
from gateway.jobs.poison import PoisonBook
from gateway.jobs.signals import Signals
from gateway.jobs.store import Ended, JobStore, unheard
from gateway.metrics.totals import Totals
from gateway.postgres.audit import PostgresAudit
from gateway.postgres.cache import open_cache
from gateway.postgres.connection import open_session
from gateway.postgres.faults import REFUSED, TRANSIENT
from gateway.postgres.jobs import PostgresJobs
from gateway.postgres.keys import PostgresKeys
from gateway.postgres.migrations import Migration, known_migrations, migrate
from gateway.postgres.notifications import listening
from gateway.postgres.outbox import PostgresOutbox
from gateway.postgres.poison import PostgresPoison
from gateway.postgres.pool import open_pool
from gateway.postgres.totals import PostgresTotals
from gateway.problems import Problem
from gateway.settings import Settings, SettingsError

_PATIENCE_S = 30.0
_PAUSE_S = 0.25


@dataclass(frozen=True)
class PostgresStores:
    """What is kept in PostgreSQL."""

    jobs: JobStore
    outbox: Outbox
    poison: PoisonBook
    cache: Cache
    totals: Totals
    keys: KeyBook
    audit: AuditLog


@asynccontextmanager
async def open_postgres(
    settings: Settings, announce: Announce, signals: Signals, ended: Ended = unheard
) -> AsyncIterator[PostgresStores]:
    """The stores for as long as the context lasts, their tables made first.

    A database that is not up yet is waited for, 30 s. Raises Problem `store_unavailable`, SettingsError,
    MigrationError.
    """
    await prepare(settings)
    async with open_pool(settings) as pool, listening(settings, signals), open_cache(settings, pool) as cache:
        yield PostgresStores(
            PostgresJobs(pool, settings, announce, ended),
            PostgresOutbox(pool),
            PostgresPoison(pool, settings),
            cache,
            PostgresTotals(pool),
            PostgresKeys(pool),
            PostgresAudit(pool),
        )


async def prepare(settings: Settings) -> Sequence[Migration]:
    """Apply the migrations that are missing; those applied. Waits and raises as open_postgres does."""
    deadline = Deadline(_PATIENCE_S)
    while True:
        try:
            async with open_session(settings.postgres_dsn.get_secret_value()) as session:
                return await migrate(session, known_migrations())
        except REFUSED as error:
            raise SettingsError(f"POSTGRES_DSN=…: {error}") from error
        except asyncpg.InsufficientPrivilegeError as error:
            remedy = "this user may not make or change the tables; run `maskwright migrate` once as their owner"
            raise SettingsError(f"POSTGRES_DSN=…: {error}: {remedy}") from error
        except TRANSIENT as error:
            if deadline.remaining() < _PAUSE_S:
                detail = f"PostgreSQL did not answer within {_PATIENCE_S:g} s."
                raise Problem("store_unavailable", detail, retry_after=_PAUSE_S) from error
        await asyncio.sleep(_PAUSE_S)
