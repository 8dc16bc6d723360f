"""Claims jobs, has each worked on by a task of its own, and keeps their leases."""

import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from uuid import UUID

import anyio

from gateway.background import Heartbeat, reason_of
from gateway.errors import Problem
from gateway.jobs.job import Lease
from gateway.jobs.store import WORK
from gateway.logs import get_logger
from gateway.settings import Settings
from gateway.stores import Stores
from gateway.worker.attempts import Attempts, ClaimedJob

_JOBS_PER_INFERENCE = 2
"""So that the photos of some jobs are fetched, and the masks of others stored, while others are inferred."""
_POLL_S = 1.0
_HAND_BACK_S = 10.0
"""Longer than one call to an unavailable store may take."""
_LAST_S = 1.0
_RENEWALS_PER_LEASE = 3
_LONGEST_PAUSE_S = 10.0


class Runner:
    """Claims jobs under the worker's name, and works on them; `capacity` is what it tells the store of itself."""

    def __init__(self, worker: str, settings: Settings, stores: Stores, attempts: Attempts) -> None:
        self.worker = worker
        self.capacity = settings.service_concurrency
        self.heartbeat = Heartbeat("runner")
        self._most = _JOBS_PER_INFERENCE * settings.service_concurrency
        self._lease_s = settings.lease_s
        self._jobs = stores.jobs
        self._signals = stores.signals
        self._attempts = attempts
        self._tasks: dict[UUID, asyncio.Task[None]] = {}
        self._claimed: dict[UUID, ClaimedJob] = {}
        self._latest_tenant = ""
        self._log = get_logger("gateway.worker")

    @property
    def claimed(self) -> Mapping[UUID, ClaimedJob]:
        """The jobs that are worked on, by the tokens of their leases."""
        return MappingProxyType(self._claimed)

    async def run(self) -> None:
        """Claim until cancelled, woken by new work and by jobs that end. Raises Problem `store_unavailable`."""
        with self._signals.subscribe(WORK) as work:
            while True:
                await self._claim()
                self.heartbeat.beat()
                await work.wait(_POLL_S)

    async def _claim(self) -> None:
        """A claim that began is waited for: jobs it took would be nobody's until their leases end."""
        free = self._most - len(self._claimed)
        if free <= 0:
            return
        with anyio.CancelScope(shield=True):
            leases = await self._jobs.claim(self.worker, free, self._lease_s, self._latest_tenant)
        for lease in leases:
            self._latest_tenant = lease.job.request.tenant
            self._begin(ClaimedJob(lease, self._renew_one, self._lease_s))

    def _begin(self, claimed: ClaimedJob) -> None:
        token = claimed.lease.token
        self._claimed[token] = claimed
        task = asyncio.create_task(self._attempts.make(claimed), name=f"job {claimed.job.id}")
        self._tasks[token] = task
        task.add_done_callback(lambda done: self._end(token, done))

    def _end(self, token: UUID, task: "asyncio.Task[None]") -> None:
        del self._claimed[token], self._tasks[token]
        self._signals.notify(WORK)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._log.error("unexpected error at a job's end; its lease will end", exc_info=error)

    async def renew(self) -> None:
        """Renew the leases, and stop the work on jobs whose lease is over. Raises Problem `store_unavailable`."""
        tokens = tuple(self._claimed)
        kept = await self._renew(tokens)
        for token in tokens:
            if token not in kept:
                self._lose(token)

    async def _renew_one(self, lease: Lease) -> bool:
        return lease.token in await self._renew([lease.token])

    async def _renew(self, tokens: Sequence[UUID]) -> frozenset[UUID]:
        """Say also that the worker lives; the tokens that hold."""
        return await self._jobs.renew(self.worker, self.capacity, tokens, self._lease_s)

    def _lose(self, token: UUID) -> None:
        claimed, task = self._claimed.get(token), self._tasks.get(token)
        if claimed is not None and task is not None and not (claimed.lost or claimed.ending):
            claimed.lost = True
            task.cancel()

    async def drain(self, grace_s: float) -> None:
        """Wait for the jobs that are worked on, and hand back those that do not end in time."""
        await self._wait(grace_s)
        for limit_s in (_HAND_BACK_S, _LAST_S):
            for task in self._tasks.values():
                task.cancel()
            await self._wait(limit_s)

    async def _wait(self, timeout_s: float) -> None:
        if self._tasks:
            await asyncio.wait(tuple(self._tasks.values()), timeout=timeout_s)


class LeaseRenewal:
    """Renews a runner's leases three times in each LEASE_S, which also says that the worker lives."""

    def __init__(self, settings: Settings, runner: Runner) -> None:
        self.heartbeat = Heartbeat("heartbeat")
        self._pause_s = min(settings.lease_s / _RENEWALS_PER_LEASE, _LONGEST_PAUSE_S)
        self._runner = runner

    async def run(self) -> None:
        """Renew until cancelled. Raises Problem `store_unavailable`."""
        while True:
            await self._runner.renew()
            self.heartbeat.beat()
            await anyio.sleep(self._pause_s)

    async def retire(self) -> None:
        """Say that the worker takes no more jobs; its leases are renewed as before."""
        self._runner.capacity = 0
        try:
            await self._runner.renew()
        except Problem as problem:
            self.heartbeat.fail(reason_of(problem))
