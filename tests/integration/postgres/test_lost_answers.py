"""What the server has done, and the client does not know."""

from collections.abc import AsyncIterator

import pytest

from gateway.background import Signals
from gateway.jobs.job import Callback
from gateway.settings import Settings
from gateway.stores import DatabaseStores, open_postgres
from tests.integration.postgres.making import AWAY, DONE, LEASE_S, announce, poison, request
from tests.integration.postgres.proxy import Wire, wire_to
from tests.outboxes import take_due

COMMIT = b"COMMIT;"


@pytest.fixture
async def wired(settings: Settings) -> AsyncIterator[tuple[Wire, DatabaseStores]]:
    async with wire_to(settings.postgres_dsn.get_secret_value()) as (wire, dsn):
        changed = settings.model_copy(update={"postgres_dsn": Settings(postgres_dsn=dsn).postgres_dsn})
        async with open_postgres(changed, announce, Signals()) as stores:
            yield wire, stores
            assert not wire.lose_after, "nothing was lost"


async def test_submitting(wired):
    wire, stores = wired
    wire.lose_after.append(COMMIT)
    jobs = [request("ann"), request("bob")]
    submissions = await stores.jobs.submit(jobs, [poison()])
    assert [(one.result, one.job.id) for one in submissions] == [("created", job.id) for job in jobs]
    assert len(await stores.dead_letters.entries(10)) == len(await take_due(stores.outbox, 60.0)) == 1


async def test_finishing(wired):
    wire, stores = wired
    await stores.jobs.submit([request("ann", callbacks=(Callback("message", "out"),))])
    (lease,) = await stores.jobs.claim("worker", 1, LEASE_S)
    wire.lose_after.append(COMMIT)
    assert await stores.jobs.finish(lease, DONE)
    assert len(await stores.outbox.of_job(lease.job.id)) == 1


@pytest.mark.parametrize(("verb", "attempts"), [("release", 0), ("retry", 1)])
async def test_putting_a_job_back(wired, verb, attempts):
    wire, stores = wired
    await stores.jobs.submit([request("ann")])
    (lease,) = await stores.jobs.claim("worker", 1, LEASE_S)
    wire.lose_after.append(COMMIT)
    arguments = (AWAY.failure, 0.0) if verb == "retry" else ()
    assert await getattr(stores.jobs, verb)(lease, *arguments)
    assert (await stores.jobs.get(lease.job.id)).attempts == attempts


async def test_cancelling(wired):
    wire, stores = wired
    await stores.jobs.submit([job := request("ann", callbacks=(Callback("message", "out"),))])
    wire.lose_after.append(COMMIT)
    assert (await stores.jobs.cancel(job.id)).outcome.failure.code == "cancelled"
    assert len(await stores.outbox.of_job(job.id)) == 1
