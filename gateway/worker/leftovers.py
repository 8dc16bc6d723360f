"""Photos and large parameters that nobody needs any more, left by what died at the wrong moment."""

import time
from collections.abc import Callable, Mapping, Sequence

from gateway.jobs.objects import LONGEST_BATCH_S, owner_of
from gateway.stores import Stores
from gateway.supervision import Pulse

_UNOWNED_S = 2 * LONGEST_BATCH_S
"""Twice as long as a photo may wait for the last one of its batch, and the job that it gets then."""

_TOGETHER = 1000


class Leftovers:
    """Looks through the bucket of photos, whose keys begin with the ids of the jobs that they came with."""

    def __init__(self, stores: Stores, pulse: Pulse, clock: Callable[[], float] = time.monotonic) -> None:
        self._jobs = stores.jobs
        self._pulse = pulse
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
            self._pulse.beat()
        self._unowned = unowned
        unneeded += await self._still_unowned([key for key, since in unowned.items() if now - since >= _UNOWNED_S])
        await self._photos.remove(unneeded)
        return len(unneeded)

    async def _still_unowned(self, keys: Sequence[str]) -> list[str]:
        """Asked once more just before they go: the message may have come again that a photo is of."""
        found = await self._over(keys)
        return [key for key in keys if key not in found]

    async def _over(self, keys: Sequence[str]) -> Mapping[str, bool]:
        """By key, whether the job has ended for good that it belongs to; without those that belong to none."""
        owners = {key: owner for key in keys if (owner := owner_of(key))}
        over = await self._jobs.over(list(owners.values())) if owners else {}
        return {key: over[owner] for key, owner in owners.items() if owner in over}
