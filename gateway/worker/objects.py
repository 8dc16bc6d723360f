"""Which of a job's objects are still needed, and the removal of the others."""

from gateway.jobs.bucket import Bucket, ObjectMissingError, ObjectsKeptError
from gateway.jobs.job import Failure, Job
from gateway.jobs.poison import poison_origin
from gateway.jobs.store import JobFilter
from gateway.jobs.uploads import object_prefixes
from gateway.problems import Problem
from gateway.stores import Stores

_IN_SILENCE = "without a word"


def photo_needed(job: Job, failure: Failure | None) -> bool:
    """Whether an ended job may run again with the photo it came with: a message whose failure may pass."""
    return poison_origin(job, failure) is not None


class JobObjects:
    """The photos and artifacts of jobs. Every method raises Problem `storage_unavailable`."""

    def __init__(self, stores: Stores) -> None:
        self._photos = stores.photos
        self._artifacts = stores.artifacts

    async def tidy(self, job: Job, failure: Failure | None) -> None:
        """Remove what an ended job needs no more: its photo, and the artifacts of one that failed."""
        if failure is not None:
            await self.remove_artifacts(job)
        if not photo_needed(job, failure):
            await self.remove_photo(job)

    async def remove_photo(self, job: Job) -> None:
        """Remove the photo that came with the job, if one did. Raises ObjectsKeptError."""
        if job.request.image.kind == "photo":
            key = job.request.image.location
            await self._photos.remove([key])
            if key in await _keys(self._photos, key):
                raise ObjectsKeptError({key: _IN_SILENCE})

    async def remove_artifacts(self, job: Job) -> None:
        """Remove every artifact, also those that no outcome names. Raises ObjectsKeptError.

        Some servers say that they have removed what they keep, so they are asked again.
        """
        if keys := await self._keys(job):
            await self._artifacts.remove(keys)
            if left := await self._keys(job):
                raise ObjectsKeptError(dict.fromkeys(left, _IN_SILENCE))

    async def _keys(self, job: Job) -> list[str]:
        found = [(prefix, await _keys(self._artifacts, prefix)) for prefix in object_prefixes(job)]
        return [key for prefix, keys in found for key in keys if "/" not in key.removeprefix(prefix)]


async def _keys(bucket: Bucket, prefix: str) -> list[str]:
    """None where the bucket is gone with all that it held."""
    try:
        return list(await bucket.keys(prefix))
    except ObjectMissingError:
        return []


class Removals:
    """Removes what deleted jobs, and those that failed amid their writes, leave in the object store."""

    def __init__(self, stores: Stores) -> None:
        self._jobs = stores.jobs
        self._objects = JobObjects(stores)

    async def remove(self, job: Job) -> bool:
        """Remove a job's objects; whether it was deleted and is gone for good now.

        Raises Problem, once the removal is put off: ObjectsKeptError, or `storage_unavailable` where there is no S3;
        `store_unavailable`.
        """
        try:
            await self.clear(job)
        except Problem as problem:
            await self._jobs.postpone_removal(job.id, problem.detail)
            raise
        return job.id in await self._jobs.remove([job.id])

    async def clear(self, job: Job) -> None:
        """Remove what is there now. A later job of the same tenant, user and request id has its artifacts' keys."""
        if job.state != "deleting" and (now := await self._jobs.get(job.id)):
            return await self._objects.tidy(now, now.outcome.failure) if now.outcome else None
        request = job.request
        same = JobFilter(user_id=request.user_id, request_id=request.request_id, limit=1, tenant=request.tenant)
        try:
            await self._objects.remove_photo(job)
        finally:
            if not await self._jobs.find(same):
                await self._objects.remove_artifacts(job)
        return None
