"""Removes what is not needed any more: objects of jobs that were deleted or failed, old jobs, results and entries."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import anyio

from gateway.background import Heartbeat
from gateway.errors import Problem
from gateway.jobs.job import Job, LockName, NewJob, dead_letter_origin
from gateway.jobs.objects import (
    IN_SILENCE,
    LONGEST_BATCH_S,
    ArtifactStore,
    InUseError,
    ObjectsKeptError,
    input_keys,
    keys_of,
    owner_of,
)
from gateway.logs import get_logger
from gateway.pipelines.outputs import Failure
from gateway.settings import Settings
from gateway.stores import Stores

_WAIT_S = 3.0
"""How long a removal waits for whoever writes or removes the same objects; then it is put off."""


class Removals:
    """Removes the objects of jobs that nobody needs any more.

    Every method raises Problem `storage_unavailable`, `store_unavailable`.
    """

    def __init__(self, stores: Stores) -> None:
        self._jobs = stores.jobs
        self._photos = stores.photos
        self._artifacts = ArtifactStore(stores.locks, stores.jobs, stores.artifacts)

    async def tidy(self, job: Job, failure: Failure | None) -> None:
        """Remove what an ended job needs no more: its photo, and the artifacts of a failed job."""
        if failure is not None:
            await self._remove_artifacts(job.request)
        if dead_letter_origin(job, failure) is None:  # a message whose failure may pass can be replayed with its photo
            await self._remove_inputs(job)

    async def remove(self, job: Job) -> bool:
        """Remove a job's objects; whether it was deleted and is gone for good now.

        Raises Problem, once the removal is put off: ObjectsKeptError, or `storage_unavailable` where there is no S3;
        `store_unavailable`. InUseError where others are at the objects: this is no failure, and a janitor comes by.
        """
        try:
            since = await self.clear(job)
        except InUseError:
            raise
        except Problem as problem:
            await self._jobs.postpone_removal(job.id, problem.detail)
            raise
        return job.id in await self._jobs.remove([job.id], since)

    async def clear(self, job: Job) -> datetime | None:
        """Remove what is there now; return the time of the look, or None if the job is not over and nothing is removed.

        The photo of a job that may be worked on again stays. Raises as `remove`.
        """
        now = None if job.state == "deleting" else await self._jobs.get(job.id)
        if now and now.outcome is None:
            return None
        failure = now.outcome.failure if now and now.outcome else None
        try:
            return await self._remove_artifacts(job.request)
        finally:
            if now is None or dead_letter_origin(now, failure) is None:
                await self._remove_inputs(job)

    async def recover(self, name: LockName) -> None:
        """Remove what a writer that died left under this name. Raises ObjectsKeptError for what stays, InUseError."""
        await self._remove_artifacts(name)

    async def _remove_inputs(self, job: Job) -> None:
        """Remove the photo and the parameters, as far as they came with the job. Raises ObjectsKeptError."""
        keys = input_keys(job.request)
        await self._photos.remove(keys)
        kept = [key for key in keys if key in await keys_of(self._photos, key)]
        if kept:
            raise ObjectsKeptError(dict.fromkeys(kept, IN_SILENCE))

    async def _remove_artifacts(self, request: NewJob | LockName) -> datetime:
        """Remove every artifact that no outcome names, of a later job of the same name too.

        Returns the time, by the store's clock, from which on nobody else could write any. Raises ObjectsKeptError.
        """
        async with self._artifacts.held(request, _WAIT_S) as held:
            await self._artifacts.sweep(held)
            return held.lock.since


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
