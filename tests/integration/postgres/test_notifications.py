from contextlib import AsyncExitStack

import pytest

from gateway.background import Signals
from gateway.jobs.job import Callback
from gateway.jobs.store import OUTBOX, WORK
from gateway.stores import open_postgres
from tests.integration.postgres.making import AWAY, DONE, LEASE_S, MISTAKEN, announce, request
from tests.outboxes import take_due

PATIENCE_S = 20.0


@pytest.fixture
async def heard(settings):
    """The signals of another process on the same database, once it listens."""
    signals = Signals()
    async with AsyncExitStack() as stack:
        with signals.subscribe(WORK) as work:
            await stack.enter_async_context(open_postgres(settings, announce, signals))
            assert await work.wait(PATIENCE_S), "told to look at everything"
        yield signals


async def test_a_new_job_wakes_waiting_workers(stores, heard):
    with heard.subscribe(WORK) as work:
        await stores.jobs.submit([request()])
        assert await work.wait(PATIENCE_S)


async def test_subscribers_of_a_job_are_notified_of_each_step(stores, heard):
    await stores.jobs.submit([job := request("ann")])
    with heard.subscribe(str(job.id)) as followed, heard.subscribe(WORK) as work:
        (lease,) = await stores.jobs.claim("worker", 1, LEASE_S)
        assert await followed.wait(PATIENCE_S)
        await stores.jobs.retry(lease, AWAY.failure, 0.0)
        assert await followed.wait(PATIENCE_S)
        (lease,) = await stores.jobs.claim("worker", 1, LEASE_S)
        assert await followed.wait(PATIENCE_S)
        assert await work.wait(PATIENCE_S)
        await stores.jobs.finish(lease, DONE)
        assert await followed.wait(PATIENCE_S)
        assert await work.wait(PATIENCE_S), "the user's next has its turn"


async def test_a_claim_that_finds_no_job_notifies_nobody(stores, heard):
    with heard.subscribe("") as nothing, heard.subscribe(WORK) as work:
        assert await stores.jobs.claim("worker", 1, LEASE_S) == []
        await stores.jobs.submit([request()])
        assert await work.wait(PATIENCE_S), "what was told before has come too"
        assert not await nothing.wait(0)


async def test_an_outcome_adds_a_delivery_to_the_outbox(stores, heard):
    callbacks = (Callback("webhook", "https://example.com/hook"),)
    with heard.subscribe(OUTBOX) as outbox:
        await stores.jobs.submit([job := request(callbacks=callbacks, outcome=MISTAKEN)])
        assert await outbox.wait(PATIENCE_S)
        (delivery,) = await take_due(stores.outbox, LEASE_S)
        await stores.outbox.give_up(delivery, "gone")
        await stores.outbox.resend(job.id)
        assert await outbox.wait(PATIENCE_S)


async def test_after_a_lost_connection_all_subscribers_are_notified(stores, heard, sql):
    with heard.subscribe("whatever") as anything, heard.subscribe(WORK) as work:
        await sql.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND query LIKE '%LISTEN%' AND pid <> pg_backend_pid()"
        )
        assert await anything.wait(PATIENCE_S)
        assert await work.wait(PATIENCE_S)
        await stores.jobs.submit([request()])
        assert await work.wait(PATIENCE_S)
