"""Everything that keeps something: PostgreSQL and S3, or memory."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.access.audit import AuditLog
from gateway.access.keys import KeyStore
from gateway.cache.cache import Cache
from gateway.jobs.artifacts import ArtifactLocks
from gateway.jobs.dead_letters import DeadLetters
from gateway.jobs.objects import Bucket
from gateway.jobs.outbox import Outbox
from gateway.jobs.outbox_messages import Links, by_job, by_key, message_maker
from gateway.jobs.store import Ended, JobStore, Signals, unheard
from gateway.logs import get_logger
from gateway.memory.stores import memory_stores
from gateway.postgres.stores import open_postgres
from gateway.s3.bucket import open_buckets
from gateway.s3.images import S3Images
from gateway.settings import Settings, SettingsError


@dataclass(frozen=True)
class Stores:
    """The stores of one process; `durable` where they outlive it.

    `links` makes links to artifacts; `images` reads photos from callers' buckets, where there is S3; `database_fault`
    says why the database did not answer the last time, or nothing.
    """

    jobs: JobStore
    locks: ArtifactLocks
    outbox: Outbox
    poison: DeadLetters
    photos: Bucket
    artifacts: Bucket
    signals: Signals
    cache: Cache
    keys: KeyStore
    audit: AuditLog
    durable: bool
    links: Links = by_key
    images: S3Images | None = None
    database_fault: Callable[[], str] = str


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
    kept = memory_stores(settings, message_maker(settings, by_key(settings.own_base)), ended=ended)
    yield Stores(
        jobs=kept.jobs,
        locks=kept.locks,
        outbox=kept.outbox,
        poison=kept.poison,
        photos=kept.photos,
        artifacts=kept.artifacts,
        signals=kept.signals,
        cache=kept.cache,
        keys=kept.keys,
        audit=kept.audit,
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
                jobs=kept.jobs,
                locks=kept.locks,
                outbox=kept.outbox,
                poison=kept.poison,
                photos=buckets.photos,
                artifacts=buckets.artifacts,
                signals=signals,
                cache=kept.cache,
                keys=kept.keys,
                audit=kept.audit,
                links=links,
                durable=True,
                images=buckets.images,
                database_fault=kept.fault,
            )


def _in_s3(link: Callable[[str], str]) -> Links:
    """The same for everybody, wherever the gateway is."""
    return lambda _: lambda _job_id, artifact: link(artifact.key)
