"""A lease in a worker's hand."""

import asyncio
import time
from collections.abc import Callable

from gateway.jobs.job import Job, Lease


class HeldLease:
    """A lease and until when it is known to hold, in seconds of the clock.

    `lost` says that another may have the job: whoever works on it then writes nothing more. `ending` says that the
    store is being told of the end, and that its answer decides whether the lease held.
    """

    def __init__(self, lease: Lease, holds_until: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.lease = lease
        self.lost = False
        self.ending = False
        self._holds_until = holds_until
        self._clock = clock
        self._extended = asyncio.Event()

    @property
    def job(self) -> Job:
        """The job it is about."""
        return self.lease.job

    def extend(self, holds_until: float) -> None:
        """The store said that it holds so long."""
        self._holds_until = holds_until
        self._extended.set()

    async def secured(self) -> None:
        """Return once the lease is known to hold: after a standstill of process or store, not before a renewal."""
        while self._clock() >= self._holds_until:
            self._extended.clear()
            await self._extended.wait()
