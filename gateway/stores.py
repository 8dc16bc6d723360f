"""Everything that keeps something, PostgreSQL and S3 or memory; and whether it answers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass

from gateway.access.audit import AuditLog, FileAudit
from gateway.access.keys import FileKeys, KeyStore
from gateway.background import Signals
from gateway.cache.cache import Cache
from gateway.jobs.job import QueueCounts
from gateway.jobs.objects import Bucket
from gateway.jobs.outbox import MessageMaker, Outbox
from gateway.jobs.outbox_messages import message_maker
from gateway.jobs.store import ArtifactLocks, DeadLetters, Ended, JobStore, NoDeadLetters, unheard
from gateway.jobs.view import Links, by_job, by_key
from gateway.logs import get_logger
from gateway.memory import Clock, system_clock
from gateway.memory.cache import MemoryCache
from gateway.memory.jobs import MemoryJobs
from gateway.memory.objects import Endings, JobTable, MemoryArtifactLocks, MemoryBucket, MemoryLimit
from gateway.memory.outbox import MemoryOutbox
from gateway.postgres.cache import open_cache
from gateway.postgres.database import find_database
from gateway.postgres.jobs import PostgresJobs
from gateway.postgres.keys_and_audit import PostgresAudit, PostgresKeys
from gateway.postgres.leases import PostgresArtifactLocks
from gateway.postgres.outbox import PostgresDeadLetters, PostgresOutbox
from gateway.postgres.pool import listening, open_pool
from gateway.s3.buckets import S3Images, open_buckets
from gateway.settings import Settings, SettingsError
from gateway.timing import answer_within

_PROBE_S = 2.0
"""How long a store is waited for: probes themselves give up after some seconds."""
_PHOTOS_SHARE = 0.75
"""Photos may take so much of the memory; the rest is for masks, so that the jobs of those photos can end."""


@dataclass(frozen=True, kw_only=True)
class DatabaseStores:
    """What PostgreSQL keeps where there is one.

    `signals` says what changed; `database_fault` why the database did not answer the last time, or nothing.
    """

    jobs: JobStore
    locks: ArtifactLocks
    outbox: Outbox
    dead_letters: DeadLetters
    cache: Cache
    keys: KeyStore
    audit: AuditLog
    signals: Signals
    database_fault: Callable[[], str] = str


@dataclass(frozen=True, kw_only=True)
class Stores(DatabaseStores):
    """The stores of one process; `durable` where they outlive it.

    `links` makes links to artifacts; `images` reads photos from callers' buckets, where there is S3.
    """

    photos: Bucket
    artifacts: Bucket
    durable: bool
    links: Links = by_key
    images: S3Images | None = None


def durable(settings: Settings) -> bool:
    """Whether jobs are kept in PostgreSQL and S3.

    Raises SettingsError where the settings name one without the other, or Kafka without both.
    """
    database = settings.uses_database
    if database and not settings.minio_endpoint:
        raise SettingsError("MINIO_ENDPOINT: set it too; with POSTGRES_DSN or DB_HOST, photos and masks are kept in S3")
    if settings.kafka_bootstrap_servers and not database:
        lacking = "POSTGRES_DSN" if settings.db_use_database else "a database, but DB_USE_DATABASE is false"
        raise SettingsError(f"KAFKA_BOOTSTRAP_SERVERS: needs {lacking}; the messages' jobs are kept there")
    return database


@asynccontextmanager
async def open_stores(settings: Settings, ended: Ended = unheard) -> AsyncIterator[Stores]:
    """The stores that the settings name, for as long as the context lasts; `ended` hears of jobs that they end.

    Raises SettingsError; Problem `store_unavailable` or `storage_unavailable` where a server does not come up.
    """
    opened = _open_durable(settings, ended) if durable(settings) else _open_memory(settings, ended)
    async with opened as stores:
        yield stores


@asynccontextmanager
async def _open_memory(settings: Settings, ended: Ended) -> AsyncIterator[Stores]:
    yield memory_stores(settings, message_maker(settings, by_key(settings.own_base)), ended=ended)


def memory_stores(
    settings: Settings, messages_of: MessageMaker, clock: Clock = system_clock, ended: Ended = unheard
) -> Stores:
    """Empty stores in memory, for one event loop alone; keys and the audit log, which must last, are in files."""
    signals, table, photos, artifacts = Signals(), JobTable(), MemoryBucket(), MemoryBucket()
    outbox, locks = MemoryOutbox(signals, clock), MemoryArtifactLocks(clock)
    cache = MemoryCache(settings, clock)
    endings = Endings(table, outbox, photos, artifacts, cache, messages_of, locks)
    limit = MemoryLimit(settings.memory_store_bytes, (photos, artifacts), endings.shed)
    photo_limit = MemoryLimit(int(settings.memory_store_bytes * _PHOTOS_SHARE), (photos,))
    photos.limits, artifacts.limits = (photo_limit, limit), (limit,)
    return Stores(
        jobs=MemoryJobs(settings, table, endings, locks, signals, clock, ended),
        locks=locks,
        outbox=outbox,
        dead_letters=NoDeadLetters(),
        photos=photos,
        artifacts=artifacts,
        signals=signals,
        cache=cache,
        keys=FileKeys(settings),
        audit=FileAudit(settings),
        durable=False,
    )


@asynccontextmanager
async def _open_durable(settings: Settings, ended: Ended) -> AsyncIterator[Stores]:
    signals = Signals()
    if settings.artifact_links == "gateway" and not settings.public_url:
        message = "links in callbacks and messages lead others nowhere without PUBLIC_URL"
        get_logger("gateway.stores").warning(message, link=settings.own_base)
    async with open_buckets(settings) as buckets:
        links = by_job if settings.artifact_links == "gateway" else _in_s3(buckets.link)
        announce = message_maker(settings, links(settings.own_base))
        async with open_postgres(settings, announce, signals, ended) as kept:
            yield Stores(
                **vars(kept),
                photos=buckets.photos,
                artifacts=buckets.artifacts,
                links=links,
                durable=True,
                images=buckets.images,
            )


@asynccontextmanager
async def open_postgres(
    settings: Settings, messages_of: MessageMaker, signals: Signals, ended: Ended = unheard
) -> AsyncIterator[DatabaseStores]:
    """The stores in PostgreSQL for as long as the context lasts, their tables made first.

    Waits for a database that is not up yet, 30 s. Raises Problem `store_unavailable`, SettingsError, MigrationError.
    """
    database, _ = await find_database(settings)
    unused = MemoryCache(settings, system_clock)
    async with (
        open_pool(database, settings.postgres_pool_size) as pool,
        listening(database, signals),
        open_cache(settings, pool) if settings.cache_enabled else nullcontext(unused) as cache,
    ):
        yield DatabaseStores(
            jobs=PostgresJobs(pool, settings, messages_of, ended),
            locks=PostgresArtifactLocks(pool),
            outbox=PostgresOutbox(pool),
            dead_letters=PostgresDeadLetters(pool, settings),
            cache=cache,
            keys=PostgresKeys(pool),
            audit=PostgresAudit(pool),
            signals=signals,
            database_fault=lambda: pool.fault,
        )


def _in_s3(link: Callable[[str], str]) -> Links:
    """The same for everybody, wherever the gateway is."""
    return lambda _: lambda _job_id, artifact: link(artifact.key)


@dataclass(frozen=True)
class StoreHealth:
    """The queue's counts, None where the database does not answer, and why; whether both buckets do."""

    counts: QueueCounts | None
    buckets: bool
    fault: str = ""

    @property
    def ready(self) -> bool:
        """Whether jobs can be taken in."""
        return self.counts is not None and self.buckets


async def store_health(stores: Stores) -> StoreHealth:
    """Asks the database for its counts, and both buckets whether they are there."""
    counts, photos, artifacts = await asyncio.gather(
        answer_within(_PROBE_S, stores.jobs.counts()),
        answer_within(_PROBE_S, _answers(stores.photos)),
        answer_within(_PROBE_S, _answers(stores.artifacts)),
    )
    fault = "" if counts else stores.database_fault() or f"no answer within {_PROBE_S:g} s"
    return StoreHealth(counts, bool(photos and artifacts), fault)


async def _answers(bucket: Bucket) -> bool:
    """True. Raises Problem where it does not answer."""
    await bucket.check()
    return True
