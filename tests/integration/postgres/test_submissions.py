"""Messages that come again: known, and counted once."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest

from gateway.background import Signals
from gateway.metrics.instruments import Instruments
from gateway.stores import open_postgres
from tests.integration.postgres.making import AWAY, FROM_KAFKA, LEASE_S, announce, request
from tests.integration.postgres.proxy import wire_to
from tests.unit.gateway.worker.jobs import memory


def counted(instruments: Instruments, name: str = "task_submissions_total") -> float:
    return instruments.registry.get_sample_value(name, {"type": "body_masks"}) or 0.0


def counting(jobs, instruments):
    """Submits as a route and the Kafka consumer do."""

    async def submit(new):
        submissions = await jobs.submit(new)
        instruments.tasks.submitted(submissions)
        return submissions

    return submit


@pytest.fixture(params=["memory", "postgres"])
async def kept(request, settings):
    if request.param == "memory":
        async with memory() as stores:
            yield stores
    else:
        async with open_postgres(settings, announce, Signals()) as stores:
            yield stores


async def test_a_redelivered_message_is_recognised_and_counted_once(kept):
    instruments = Instruments("gateway")
    submit = counting(kept.jobs, instruments)
    message, ended = request("ann", source=FROM_KAFKA), request("bob", source=FROM_KAFKA, outcome=AWAY)
    twice = await submit([message, message, ended])
    again = await submit([ended, message])
    assert [one.result for one in (*twice, *again)] == ["created", "known", "created", "known", "known"]
    assert {one.job.id for one in (*twice, *again)} == {message.id, ended.id}
    other = await submit([replace(message, id=uuid4(), fingerprint=b"other"), replace(message, id=uuid4())])
    assert [one.result for one in other] == ["conflict", "known"]
    assert counted(instruments) == 2
    labels = {"type": AWAY.failure.code, "component": "worker"}
    assert instruments.registry.get_sample_value("errors_total", labels) == 1


async def test_a_message_whose_commit_got_no_reply_is_counted_on_redelivery(settings):
    instruments, message = Instruments("gateway"), request("ann", source=FROM_KAFKA)
    async with wire_to(settings.postgres_dsn.get_secret_value()) as (wire, dsn):
        changed = settings.model_copy(update={"postgres_dsn": type(settings)(postgres_dsn=dsn).postgres_dsn})
        async with open_postgres(changed, announce, Signals()) as stores:
            submit = counting(stores.jobs, instruments)
            await stores.jobs.get(message.id)
            wire.lose_after.append(b"COMMIT;")
            wire.refusals = 1000
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(submit([message]), 1.0)
            assert not wire.lose_after
            wire.refusals = 0
            assert [(await submit([message]))[0].result for _ in range(2)] == ["created", "known"]
    assert counted(instruments) == 1


async def test_a_job_that_can_be_replayed_is_not_over(stores):
    waiting, failed, replayable = (request(user, source=FROM_KAFKA) for user in ("ann", "bob", "carl"))
    await stores.jobs.submit([waiting, failed, replayable])
    for lease in await stores.jobs.claim("worker", 3, LEASE_S):
        if lease.job.id != waiting.id:
            await stores.jobs.finish(lease, AWAY)
    newest, oldest = await stores.dead_letters.entries(10)
    await stores.dead_letters.drop((newest if newest.job_id == failed.id else oldest).id)
    asked = [waiting.id, failed.id, replayable.id, uuid4()]
    assert await stores.jobs.over(asked) == {waiting.id: False, failed.id: True, replayable.id: False}
