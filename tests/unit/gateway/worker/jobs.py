"""Jobs for the tests of the worker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

from gateway.jobs.job import Callback, ImageReference, Job, NewJob
from gateway.jobs.objects import photo_key
from gateway.settings import Settings
from gateway.stores import Stores, open_stores

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def new_job(user_id: str = "", source: str = "http", **others: object) -> NewJob:
    """A job whose photo lies in the bucket of photos."""
    job_id = uuid4()
    made = NewJob(
        id=job_id,
        pipeline="body_masks",
        user_id=user_id,
        request_id=job_id.hex,
        fingerprint=job_id.bytes,
        parameters="{}",
        image=ImageReference("photo", photo_key(job_id)),
        source=source,
        trace_id=uuid4().hex,
    )
    return replace(made, **others)


def job(request: NewJob | None = None) -> Job:
    """A queued job that no store has."""
    return Job(request or new_job(), 1, "queued", 0, NOW, NOW, None, None, None, None)


def with_callbacks(*callbacks: Callback) -> NewJob:
    """A job that tells others of its end."""
    return new_job(callbacks=callbacks)


@asynccontextmanager
async def memory(**given: object) -> AsyncIterator[Stores]:
    """Stores in memory."""
    settings = memory_settings(**given)
    async with open_stores(settings) as stores:
        yield stores


def memory_settings(**given: object) -> Settings:
    """Settings without a database."""
    return Settings(**{"db_use_database": False, "kafka_bootstrap_servers": "", **given})
