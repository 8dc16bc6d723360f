"""Several processes at once, each with connections of its own."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from gateway.background import Signals
from gateway.jobs.job import JobFilter
from gateway.stores import open_postgres
from tests.integration.postgres.making import AWAY, DONE, LEASE_S, announce, request

USERS = ("ann", "bob", "")
PROCESSES = 3
ROUNDS = 30
TOTAL = 2 * ROUNDS * PROCESSES


@pytest.fixture
async def processes(settings):
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(open_postgres(settings, announce, Signals())) for _ in range(PROCESSES)]


async def test_the_same_request_in_many_places_is_one_job(processes):
    for number in range(20):
        batch = [request(user, request_id=f"again-{number}") for user in USERS]
        batches = [[replace(job, id=uuid4()) for job in batch[::direction]] for direction in (1, -1) for _ in processes]
        answers = await asyncio.gather(
            *(stores.jobs.submit(jobs) for stores, jobs in zip(processes * 2, batches, strict=True))
        )
        results = Counter(submission.result for answer in answers for submission in answer)
        assert results == {"created": 3, "known": 15}
    assert len(await processes[0].jobs.find(JobFilter(limit=1000))) == 20 * len(USERS)


async def test_a_users_jobs_run_one_by_one_while_others_overtake(processes):
    running: set[str] = set()
    ended: Counter[UUID] = Counter()

    async def submit(stores) -> None:
        for number in range(ROUNDS):
            await stores.jobs.submit([request(USERS[number % 2], priority=number), request("")])

    async def do(stores, lease) -> None:
        user = lease.job.request.user_id or str(lease.job.id)
        assert user not in running
        running.add(user)
        await stores.jobs.renew("worker", 1, [lease.token], LEASE_S)
        running.discard(user)
        if lease.job.attempts == 1 and lease.job.sequence % 3 == 0:
            assert await stores.jobs.retry(lease, AWAY.failure, 0.0)
        else:
            assert await stores.jobs.finish(lease, DONE)
            ended[lease.job.id] += 1

    async def work(stores) -> None:
        while sum(ended.values()) < TOTAL:
            for lease in await stores.jobs.claim("worker", 2, LEASE_S):
                await do(stores, lease)

    await asyncio.gather(*map(submit, processes), *map(work, processes * 2))
    assert len(ended) == TOTAL
    assert set(ended.values()) == {1}


async def test_concurrent_claims_are_full_and_serve_every_tenant(processes):
    store = processes[0].jobs
    await store.submit([request(tenant="acme", priority=10) for _ in range(60)])
    await store.submit([request(tenant=f"guest-{number}", priority=-10) for number in range(6)])
    claims = [stores.jobs.claim(f"worker-{number}", 6, LEASE_S) for number, stores in enumerate(processes * 2)]
    leases = [lease for taken in await asyncio.gather(*claims) for lease in taken]
    assert len({lease.job.id for lease in leases}) == len(leases) == 6 * 2 * PROCESSES
    tenants = Counter(lease.job.request.tenant for lease in leases)
    assert [tenants[f"guest-{number}"] for number in range(6)] == [1] * 6


async def test_concurrent_claims_take_each_job_once(processes):
    for _ in range(10):
        await processes[0].jobs.submit([request(tenant=tenant) for tenant in ("a", "b", "c")])
        claims = [stores.jobs.claim(f"worker-{number}", 2, LEASE_S) for number, stores in enumerate(processes * 2)]
        leases = [lease for taken in await asyncio.gather(*claims) for lease in taken]
        leases += await processes[0].jobs.claim("last", 3, LEASE_S)
        assert sorted(lease.job.request.tenant for lease in leases) == ["a", "b", "c"]
        for lease in leases:
            assert await processes[0].jobs.finish(lease, DONE)
