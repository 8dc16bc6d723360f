"""The stores of one process in PostgreSQL, from the settings."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.access.audit import AuditLog
from gateway.access.keys import KeyStore
from gateway.cache.cache import Cache
from gateway.jobs.artifacts import ArtifactLocks
from gateway.jobs.dead_letters import DeadLetters
from gateway.jobs.outbox import MessageMaker, Outbox
from gateway.jobs.store import Ended, JobStore, Signals, unheard
from gateway.postgres.access import PostgresAudit, PostgresKeys
from gateway.postgres.cache import open_cache
from gateway.postgres.database import find_database
from gateway.postgres.dead_letters import PostgresDeadLetters
from gateway.postgres.jobs import PostgresJobs
from gateway.postgres.locks import PostgresArtifactLocks
from gateway.postgres.outbox import PostgresOutbox
from gateway.postgres.pool import listening, open_pool
from gateway.settings import Settings


@dataclass(frozen=True)
class PostgresStores:
    """What is kept in PostgreSQL; `fault` says why it does not answer."""

    jobs: JobStore
    locks: ArtifactLocks
    outbox: Outbox
    poison: DeadLetters
    cache: Cache
    keys: KeyStore
    audit: AuditLog
    fault: Callable[[], str]


@asynccontextmanager
async def open_postgres(
    settings: Settings, messages_of: MessageMaker, signals: Signals, ended: Ended = unheard
) -> AsyncIterator[PostgresStores]:
    """The stores for as long as the context lasts, their tables made first.

    A database that is not up yet is waited for, 30 s. Raises Problem `store_unavailable`, SettingsError,
    MigrationError.
    """
    database, _ = await find_database(settings)
    async with (
        open_pool(database, settings.postgres_pool_size) as pool,
        listening(database, signals),
        open_cache(settings, database, pool) as cache,
    ):
        yield PostgresStores(
            PostgresJobs(pool, settings, messages_of, ended),
            PostgresArtifactLocks(pool),
            PostgresOutbox(pool),
            PostgresDeadLetters(pool, settings),
            cache,
            PostgresKeys(pool),
            PostgresAudit(pool),
            lambda: pool.fault,
        )


async def prepare(settings: Settings) -> Sequence[str]:
    """Make or renew the tables; what was done. Waits and raises as open_postgres does."""
    _, done = await find_database(settings)
    return done
