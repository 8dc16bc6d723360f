"""A lease in a worker's hand."""

import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import anyio

from gateway.errors import Problem
from gateway.jobs.artifacts import HeldLock
from gateway.jobs.job import Job, Lease

_PAUSE_S = 0.5
"""Between two tries to ask an unavailable store."""


class LeaseLostError(Exception):
    """The lease is over: whoever works on its job writes nothing more."""


class Renew(Protocol):
    """Asks the store for more of a lease."""

    async def __call__(self, lease: Lease) -> bool:
        """Whether the lease still holds, and now anew. Raises Problem `store_unavailable`."""


class HeldLease:
    """A lease, and how to renew it for `lease_s` seconds of the clock.

    `lost` says that another may have the job: whoever works on it then writes nothing more. `ending` says that the
    store is being told of the end, and that its answer decides whether the lease held. `grip` is on the keys of
    its artifacts, if any are written.
    """

    def __init__(self, lease: Lease, renew: Renew, lease_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.lease = lease
        self.lost = False
        self.ending = False
        self.grip: HeldLock | None = None
        self._renew = renew
        self._lease_s = lease_s
        self._clock = clock

    @property
    def job(self) -> Job:
        """The job it is about."""
        return self.lease.job

    async def secured(self) -> None:
        """Return once the store says that the lease holds; the next heartbeat would tell of its loss too late.

        A deleted job's request id is free at once, and its successor's artifacts have the same keys. Raises
        LeaseLostError.
        """
        while True:
            holds_until = self._clock() + self._lease_s
            if not await answer_of(lambda: self._renew(self.lease)):
                self.lost = True
                raise LeaseLostError
            if self._clock() < holds_until:  # not so after a standstill of process or store
                return


async def answer_of(ask: Callable[[], Awaitable[bool]]) -> bool:
    """The store's answer, asked again and again while it is away."""
    while True:
        try:
            return await ask()
        except Problem as problem:
            if problem.code != "store_unavailable":
                raise
        await anyio.sleep(_PAUSE_S)
