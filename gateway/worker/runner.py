"""Claims jobs as places are free and has each worked on by a task of its own."""

import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from uuid import UUID

import anyio

from gateway.jobs.job import Lease
from gateway.jobs.store import WORK
from gateway.logs import get_logger
from gateway.settings import Settings
from gateway.stores import Stores
from gateway.supervision import Pulse
from gateway.worker.attempt import Attempts
from gateway.worker.held import HeldLease

_PLACES_PER_INFERENCE = 2
"""So that the photos of some jobs are fetched, and the masks of others stored, while others are inferred."""
_POLL_S = 1.0
_HAND_BACK_S = 10.0
"""Longer than one call to an unavailable store may take."""
_LAST_S = 1.0


class Runner:
    """The jobs in hand of one worker, claimed under its name; `capacity` is what it tells of itself."""

    def __init__(self, worker: str, settings: Settings, stores: Stores, attempts: Attempts) -> None:
        self.worker = worker
        self.capacity = settings.service_concurrency
        self.pulse = Pulse("runner")
        self._places = _PLACES_PER_INFERENCE * settings.service_concurrency
        self._lease_s = settings.lease_s
        self._jobs = stores.jobs
        self._signals = stores.signals
        self._attempts = attempts
        self._tasks: dict[UUID, asyncio.Task[None]] = {}
        self._held: dict[UUID, HeldLease] = {}
        self._served = ""
        self._log = get_logger("gateway.worker")

    @property
    def held(self) -> Mapping[UUID, HeldLease]:
        """The leases in hand by token."""
        return MappingProxyType(self._held)

    async def run(self) -> None:
        """Claim until cancelled, woken by new work and by freed places. Raises Problem `store_unavailable`."""
        with self._signals.subscribe(WORK) as work:
            while True:
                await self._claim()
                self.pulse.beat()
                await work.wait(_POLL_S)

    async def _claim(self) -> None:
        """A claim that began is waited for: jobs it took would be nobody's until their leases end."""
        free = self._places - len(self._held)
        if free <= 0:
            return
        with anyio.CancelScope(shield=True):
            leases = await self._jobs.claim(self.worker, free, self._lease_s, self._served)
        for lease in leases:
            self._served = lease.job.request.tenant
            self._begin(HeldLease(lease, self._renew, self._lease_s))

    def _begin(self, held: HeldLease) -> None:
        token = held.lease.token
        self._held[token] = held
        task = asyncio.create_task(self._attempts.make(held), name=f"job {held.job.id}")
        self._tasks[token] = task
        task.add_done_callback(lambda done: self._end(token, done))

    async def _renew(self, lease: Lease) -> bool:
        return lease.token in await self.renew([lease.token])

    async def renew(self, tokens: Sequence[UUID]) -> frozenset[UUID]:
        """Renew leases, and say that the worker lives; the tokens that hold. Raises Problem `store_unavailable`."""
        return await self._jobs.renew(self.worker, self.capacity, tokens, self._lease_s)

    def _end(self, token: UUID, task: "asyncio.Task[None]") -> None:
        del self._held[token], self._tasks[token]
        self._signals.notify(WORK)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._log.error("unexpected error at a job's end; its lease will end", exc_info=error)

    def lose(self, token: UUID) -> None:
        """Stop working on a job whose lease is over."""
        held, task = self._held.get(token), self._tasks.get(token)
        if held is not None and task is not None and not (held.lost or held.ending):
            held.lost = True
            task.cancel()

    async def drain(self, grace_s: float) -> None:
        """Wait for the jobs in hand, and hand back those that do not end in time."""
        await _all_of(self._tasks, grace_s)
        for limit_s in (_HAND_BACK_S, _LAST_S):
            for task in self._tasks.values():
                task.cancel()
            await _all_of(self._tasks, limit_s)


async def _all_of(tasks: Mapping[UUID, "asyncio.Task[None]"], timeout_s: float) -> None:
    if tasks:
        await asyncio.wait(tuple(tasks.values()), timeout=timeout_s)
