"""Removes what was deleted, what is too old and what was left behind."""

import time

import anyio

from gateway.jobs.artifacts import InUseError
from gateway.jobs.objects import ObjectsKeptError
from gateway.logs import get_logger
from gateway.settings import Settings
from gateway.stores import Stores
from gateway.supervision import Pulse
from gateway.worker.leftovers import Leftovers
from gateway.worker.objects import Removals

_PAUSE_S = 5.0
_BATCH = 20
_REMOVING_S = 60.0
"""So long a batch of jobs is kept from other janitors: and waits, should this one die or S3 go away amid it."""
_RARELY_S = 600.0
_CACHE_S = 30.0


class Janitor:
    """Removes what deleted and failed jobs left, again and again where S3 keeps it; expires jobs and results."""

    def __init__(self, settings: Settings, stores: Stores) -> None:
        self.pulse = Pulse("janitor")
        self._jobs = stores.jobs
        self._removals = Removals(stores)
        self._retention_days = settings.job_retention_days
        self._prunings = (
            (settings.audit_retention_days, stores.audit.prune),
            (settings.poison_retention_days, stores.poison.prune),
        )
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
            await self._prune()
            await self._remove_leftovers()
            self._rarely_at = time.monotonic() + _RARELY_S
        if time.monotonic() >= self._cache_at:
            await self._clean_cache()
            self._cache_at = time.monotonic() + _CACHE_S
        while await self._recover_some() == _BATCH:
            pass

    async def _remove_some(self) -> int:
        """What S3 keeps, such as an object under a legal hold, keeps nothing else from being removed."""
        jobs = await self._jobs.removable(_BATCH, _REMOVING_S)
        for job in jobs:
            try:
                await self._removals.remove(job)
            except (ObjectsKeptError, InUseError) as error:
                self._log.warning("a job's objects are not gone", job_id=str(job.id), reason=error.detail)
            self.pulse.beat()
        return len(jobs)

    async def _recover_some(self) -> int:
        """A name is looked at once: what S3 keeps of it stays, and nothing else knows of it."""
        names = await self._removals.left(_BATCH)
        for name in names:
            try:
                await self._removals.recover(name)
            except (ObjectsKeptError, InUseError) as error:
                self._log.warning("objects that were left behind are not gone", reason=error.detail)
            self.pulse.beat()
        return len(names)

    async def _expire(self) -> None:
        expired = 0
        while self._retention_days and (some := await self._jobs.expire(self._retention_days)):
            expired += some
            self.pulse.beat()
        if expired:
            self._log.info(f"{expired} jobs ended more than {self._retention_days} days ago; they are deleted")

    async def _prune(self) -> None:
        for days, prune in self._prunings:
            while days and await prune(days):
                self.pulse.beat()

    async def _clean_cache(self) -> None:
        removed = await self._cache.cleanup(self.pulse.beat)
        if removed:
            self._log.info(f"{removed} results were too old or too much; they are removed from the cache")

    async def _remove_leftovers(self) -> None:
        try:
            removed = await self._leftovers.remove()
        except ObjectsKeptError as error:
            self._log.warning("photos that were left behind are not gone", reason=error.detail)
            return
        if removed:
            self._log.info(f"{removed} photos that were left behind are removed")
