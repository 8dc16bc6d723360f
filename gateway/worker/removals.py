"""Which of a job's objects are still needed, and the removal of the others."""

from datetime import datetime

from gateway.errors import Problem
from gateway.jobs.artifacts import IN_SILENCE, ArtifactStore, InUseError, LockName, keys_of
from gateway.jobs.dead_letters import dead_letter_origin
from gateway.jobs.job import Job, NewJob
from gateway.jobs.objects import ObjectsKeptError, input_keys
from gateway.results import Failure
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
        self._keys = ArtifactStore(stores.locks, stores.jobs, stores.artifacts)

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
        """Remove what such a writer left; what S3 keeps of it stays. Raises ObjectsKeptError, InUseError."""
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
        async with self._keys.held(request, _WAIT_S) as grip:
            await self._keys.sweep(grip)
            return grip.lock.since
