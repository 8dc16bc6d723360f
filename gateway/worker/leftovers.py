"""Photos that nobody needs any more, left behind by a process or a server that died at the wrong moment."""

from uuid import UUID

from gateway.jobs.job import Job
from gateway.stores import Stores
from gateway.worker.objects import photo_needed


class Leftovers:
    """Looks through the bucket of photos, whose keys are the ids of the jobs that they came with."""

    def __init__(self, stores: Stores) -> None:
        self._jobs = stores.jobs
        self._photos = stores.photos
        self._unowned: frozenset[str] = frozenset()

    async def remove(self) -> int:
        """Remove the photos of jobs that ended, and those that have no job and had none the last time; how many.

        A photo is stored before its job is kept, so one look cannot tell. Raises Problem `store_unavailable`,
        `storage_unavailable`.
        """
        owners = {key: await self._jobs.get(UUID(key)) for key in await self._photos.keys("") if _is_id(key)}
        unowned = {key for key, job in owners.items() if job is None}
        unneeded = {key for key, job in owners.items() if job is not None and _is_over(job)} | (unowned & self._unowned)
        await self._photos.remove(sorted(unneeded))
        self._unowned = frozenset(unowned - unneeded)
        return len(unneeded)


def _is_id(key: str) -> bool:
    """Not so of what others keep in the same bucket."""
    try:
        UUID(key)
    except ValueError:
        return False
    return True


def _is_over(job: Job) -> bool:
    return job.outcome is not None and not photo_needed(job, job.outcome.failure)
