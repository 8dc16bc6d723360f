"""Stores that the tests look into and get in the way of."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from gateway.errors import Problem
from gateway.jobs.job import JobFilter, NewJob, Outcome, QueueCounts, SubmittedJob, TenantCounts
from gateway.jobs.store import BadMessage, JobStore
from gateway.kafka.ingestion import Ingestion
from gateway.metrics.instruments import Instruments
from gateway.pipelines.registry import build_registry
from gateway.settings import Settings
from gateway.stores import Stores, open_stores


class Interposed(JobStore):
    """A store that can be made to fail, or to hang when it has kept something."""

    def __init__(self, jobs: JobStore) -> None:
        self.jobs = jobs
        self.away = False
        self.hangs = False
        self.tries = 0
        self.kept = 0
        self.most_queued = 0

    async def submit(self, jobs: Sequence[NewJob], poison: Sequence[BadMessage] = ()) -> list[SubmittedJob]:
        self.tries += 1
        self._answer()
        submissions = await self.jobs.submit(jobs, poison)
        self.kept += len(submissions)
        self.most_queued = max(self.most_queued, (await self.jobs.counts()).queued)
        if self.hangs:
            await asyncio.Event().wait()
        return submissions

    async def counts(self) -> QueueCounts:
        self._answer()
        return await self.jobs.counts()

    async def tenant_counts(self, tenant: str) -> TenantCounts:
        self._answer()
        return await self.jobs.tenant_counts(tenant)

    def _answer(self) -> None:
        if self.away:
            raise Problem("store_unavailable", "The test took it away.")


@asynccontextmanager
async def opened_stores(settings: Settings) -> AsyncIterator[Stores]:
    """The stores of the settings, their jobs behind an Interposed."""
    async with open_stores(settings) as stores:
        yield replace(stores, jobs=Interposed(stores.jobs))


@asynccontextmanager
async def ingesting(settings: Settings, stores: Stores) -> AsyncIterator[Ingestion]:
    """A running ingestion, cancelled at the end."""
    ingestion = Ingestion(settings, stores, build_registry(settings)["body_masks"], Instruments("worker"))
    task = asyncio.create_task(ingestion.run())
    try:
        yield ingestion
    finally:
        assert not task.done(), task
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def request_ids(stores: Stores) -> list[str]:
    """Of every job there is."""
    jobs = await stores.jobs.jobs.find(JobFilter(limit=10_000))
    return sorted(job.request.request_id for job in jobs)


async def work_off(stores: Stores, limit: int) -> int:
    """Complete queued jobs; how many there were."""
    store = stores.jobs.jobs
    leases = await store.claim("test", limit, 60)
    for lease in leases:
        assert await store.finish(lease, Outcome())
    return len(leases)


async def until(condition: Callable[[], Awaitable[bool] | bool], timeout_s: float, what: str) -> None:
    """Wait until the condition holds; fail with `what` after the time."""
    end = asyncio.get_running_loop().time() + timeout_s
    while True:
        holds = condition()
        if await holds if isinstance(holds, Awaitable) else holds:
            return
        assert asyncio.get_running_loop().time() < end, f"not within {timeout_s} s: {what}"
        await asyncio.sleep(0.05)
