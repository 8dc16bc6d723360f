"""Photos that nobody needs any more, left behind by a process or a server that died at the wrong moment."""

import time
from collections.abc import Callable
from uuid import UUID

from gateway.jobs.job import Job
from gateway.jobs.uploads import LONGEST_BATCH_S
from gateway.pulse import Pulse
from gateway.stores import Stores
from gateway.worker.objects import photo_needed

_UNOWNED_S = 2 * LONGEST_BATCH_S
"""Twice as long as a photo may wait for the last one of its batch, and the job that it gets then."""


class Leftovers:
    """Looks through the bucket of photos, whose keys are the ids of the jobs that they came with."""

    def __init__(self, stores: Stores, pulse: Pulse, clock: Callable[[], float] = time.monotonic) -> None:
        self._jobs = stores.jobs
        self._poison = stores.poison
        self._pulse = pulse
        self._photos = stores.photos
        self._clock = clock
        self._unowned: dict[str, float] = {}

    async def remove(self) -> int:
        """Remove the photos of jobs that ended, and those that have had no job for too long; how many.

        A photo is stored before its job is kept, so one look cannot tell. Raises Problem `store_unavailable`,
        `storage_unavailable`; ObjectsKeptError once all others are gone.
        """
        now, unowned, unneeded = self._clock(), dict[str, float](), set[str]()
        for key in filter(_is_id, await self._photos.keys("")):
            job = await self._jobs.get(UUID(key))
            if job is None:
                unowned[key] = self._unowned.get(key, now)
            elif await self._is_over(job):
                unneeded.add(key)
            self._pulse.beat()
        unneeded |= {key for key, since in unowned.items() if now - since >= _UNOWNED_S}
        self._unowned = unowned
        await self._photos.remove(sorted(unneeded))
        return len(unneeded)

    async def _is_over(self, job: Job) -> bool:
        """A failed message's photo is needed for as long as its entry is open."""
        if job.outcome is None:
            return False
        return not (photo_needed(job, job.outcome.failure) and await self._poison.has_open(job.id))


def _is_id(key: str) -> bool:
    """Not so of what others keep in the same bucket."""
    try:
        UUID(key)
    except ValueError:
        return False
    return True
