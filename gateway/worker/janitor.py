"""Removes what was deleted, what is too old and what was left behind."""

import time

import anyio

from gateway.jobs.job import Job
from gateway.jobs.store import JobFilter
from gateway.logs import get_logger
from gateway.pulse import Pulse
from gateway.settings import Settings
from gateway.stores import Stores
from gateway.worker.leftovers import Leftovers
from gateway.worker.objects import JobObjects

_PAUSE_S = 5.0
_BATCH = 100
_LATE_WRITES_S = 30.0
"""How long a write to the object store may still be under way after the writer's lease is over."""
_RARELY_S = 600.0
_CACHE_S = 30.0


class Janitor:
    """Removes deleted jobs' objects, after any worker that wrote them has lost its lease; expires jobs and results."""

    def __init__(self, settings: Settings, stores: Stores) -> None:
        self.pulse = Pulse("janitor")
        self._jobs = stores.jobs
        self._objects = JobObjects(stores)
        self._older_than_s = settings.lease_s + _LATE_WRITES_S
        self._retention_days = settings.job_retention_days
        self._leftovers = Leftovers(stores, self.pulse)
        self._cache = stores.cache
        self._rarely_at = self._cache_at = time.monotonic()
        self._log = get_logger("gateway.worker")

    async def run(self) -> None:
        """Clean until cancelled. Raises Problem `store_unavailable`, `storage_unavailable`."""
        while True:
            await self.clean()
            self.pulse.beat()
            await anyio.sleep(_PAUSE_S)

    async def clean(self) -> None:
        """One round. Raises Problem `store_unavailable`, `storage_unavailable`."""
        while await self._remove_some() == _BATCH:
            pass
        if time.monotonic() >= self._rarely_at:
            await self._expire()
            await self._remove_leftovers()
            self._rarely_at = time.monotonic() + _RARELY_S
        if time.monotonic() >= self._cache_at:
            await self._clean_cache()
            self._cache_at = time.monotonic() + _CACHE_S

    async def _remove_some(self) -> int:
        jobs = await self._jobs.removable(self._older_than_s, _BATCH)
        for job in jobs:
            await self._remove_objects(job)
            await self._jobs.remove([job.id])
            self.pulse.beat()
        return len(jobs)

    async def _expire(self) -> None:
        expired = 0
        while self._retention_days and (some := await self._jobs.expire(self._retention_days)):
            expired += some
            self.pulse.beat()
        if expired:
            self._log.info(f"{expired} jobs ended more than {self._retention_days} days ago; they are deleted")

    async def _clean_cache(self) -> None:
        removed = await self._cache.cleanup()
        if removed:
            self._log.info(f"{removed} results were too old or too much; they are removed from the cache")

    async def _remove_leftovers(self) -> None:
        removed = await self._leftovers.remove()
        if removed:
            self._log.info(f"{removed} photos that were left behind are removed")

    async def _remove_objects(self, job: Job) -> None:
        """A later job of the same tenant, user and request id has its artifacts under the same keys: those stay."""
        await self._objects.remove_photo(job)
        request = job.request
        same = JobFilter(user_id=request.user_id, request_id=request.request_id, limit=1, tenant=request.tenant)
        if not await self._jobs.find(same):
            await self._objects.remove_artifacts(job)
