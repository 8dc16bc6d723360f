"""Removes what was deleted, what is too old, and what processes that died have left."""

import time
from collections.abc import Callable, Mapping, Sequence

import anyio

from gateway.jobs.artifacts import InUseError
from gateway.jobs.objects import LONGEST_BATCH_S, ObjectsKeptError, owner_of
from gateway.logs import get_logger
from gateway.settings import Settings
from gateway.stores import Stores
from gateway.supervision import Heartbeat
from gateway.worker.removals import Removals

_PAUSE_S = 5.0
_BATCH = 20
_REMOVING_S = 60.0
"""How long other janitors leave a batch of jobs to this one, also if this one dies or S3 is away."""
_RARELY_S = 600.0
_CACHE_S = 30.0
_UNOWNED_S = 2 * LONGEST_BATCH_S
"""Twice as long as a photo may wait for its job, which comes with the last photo of its batch."""
_TOGETHER = 1000


class Janitor:
    """Removes what deleted and failed jobs left, again and again where S3 keeps it; expires jobs and results."""

    def __init__(self, settings: Settings, stores: Stores) -> None:
        self.heartbeat = Heartbeat("janitor")
        self._jobs = stores.jobs
        self._locks = stores.locks
        self._removals = Removals(stores)
        self._retention_days = settings.job_retention_days
        self._prunings = (
            (settings.audit_retention_days, stores.audit.prune),
            (settings.poison_retention_days, stores.dead_letters.prune),
        )
        self._leftovers = Leftovers(stores, self.heartbeat)
        self._cache = stores.cache
        self._rarely_at = self._cache_at = time.monotonic()
        self._log = get_logger("gateway.worker")

    async def run(self) -> None:
        """Clean until cancelled. Raises Problem `store_unavailable`, `storage_unavailable`."""
        while True:
            await self.clean()
            self.heartbeat.beat()
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
        """An object that S3 keeps, as under a legal hold, does not stop the removal of the others."""
        jobs = await self._jobs.removable(_BATCH, _REMOVING_S)
        for job in jobs:
            try:
                await self._removals.remove(job)
            except (ObjectsKeptError, InUseError) as error:
                self._log.warning("a job's objects are not gone", job_id=str(job.id), reason=error.detail)
            self.heartbeat.beat()
        return len(jobs)

    async def _recover_some(self) -> int:
        """Each name is tried once: objects that S3 does not let us remove stay for good."""
        names = await self._locks.lapsed(_BATCH)
        for name in names:
            try:
                await self._removals.recover(name)
            except (ObjectsKeptError, InUseError) as error:
                self._log.warning("objects that were left behind are not gone", reason=error.detail)
            self.heartbeat.beat()
        return len(names)

    async def _expire(self) -> None:
        expired = 0
        while self._retention_days and (some := await self._jobs.expire(self._retention_days)):
            expired += some
            self.heartbeat.beat()
        if expired:
            self._log.info(f"{expired} jobs ended more than {self._retention_days} days ago; they are deleted")

    async def _prune(self) -> None:
        for days, prune in self._prunings:
            while days and await prune(days):
                self.heartbeat.beat()

    async def _clean_cache(self) -> None:
        removed = await self._cache.cleanup(self.heartbeat.beat)
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


class Leftovers:
    """Looks through the bucket of photos, whose keys begin with the ids of their jobs."""

    def __init__(self, stores: Stores, heartbeat: Heartbeat, clock: Callable[[], float] = time.monotonic) -> None:
        self._jobs = stores.jobs
        self._heartbeat = heartbeat
        self._photos = stores.photos
        self._clock = clock
        self._unowned: dict[str, float] = {}

    async def remove(self) -> int:
        """Remove the photos of jobs that ended, and those that have had no job for too long; how many.

        A photo is stored before its job is kept, so one look cannot tell. Raises Problem `store_unavailable`,
        `storage_unavailable`; ObjectsKeptError once all others are gone.
        """
        keys = sorted(filter(owner_of, await self._photos.keys("")))
        now, unowned, unneeded = self._clock(), dict[str, float](), list[str]()
        for start in range(0, len(keys), _TOGETHER):
            some = keys[start : start + _TOGETHER]
            over = await self._over(some)
            unowned |= {key: self._unowned.get(key, now) for key in some if key not in over}
            unneeded += [key for key in some if over.get(key)]
            self._heartbeat.beat()
        self._unowned = unowned
        unneeded += await self._still_unowned([key for key, since in unowned.items() if now - since >= _UNOWNED_S])
        await self._photos.remove(unneeded)
        return len(unneeded)

    async def _still_unowned(self, keys: Sequence[str]) -> list[str]:
        """Ask once more just before they go: a photo's message may have come again meanwhile."""
        found = await self._over(keys)
        return [key for key in keys if key not in found]

    async def _over(self, keys: Sequence[str]) -> Mapping[str, bool]:
        """By key, whether its job has ended for good; keys that belong to no job are left out."""
        owners = {key: owner for key in keys if (owner := owner_of(key))}
        over = await self._jobs.over(list(owners.values())) if owners else {}
        return {key: over[owner] for key, owner in owners.items() if owner in over}
