from uuid import uuid4

from gateway.jobs.job import Callback
from tests.integration.postgres.making import AWAY, DONE, FROM_KAFKA, LEASE_S, poison, request
from tests.outboxes import take_due


async def failed_from_kafka(stores):
    job = request("ann", source=FROM_KAFKA, callbacks=(Callback("message", "mask_output"),))
    await stores.jobs.submit([job])
    (lease,) = await stores.jobs.claim("worker", 1, LEASE_S)
    await stores.jobs.finish(lease, AWAY)
    return job


async def test_the_same_message_is_kept_and_announced_once(stores):
    await stores.jobs.submit([], [poison(), poison(), poison(b"[")])
    await stores.jobs.submit([], [poison()])
    newest, oldest = await stores.dead_letters.entries(10)
    assert (newest.size, oldest.origin, oldest.failure.code, oldest.job_id) == (
        1,
        "mask_input/0/3",
        "invalid_json",
        None,
    )
    assert [one.content.body for one in await take_due(stores.outbox, 60.0)] == [b"{", b"["]


async def test_pages(stores):
    await stores.jobs.submit([], [poison(origin=f"mask_input/0/{offset}") for offset in range(5)])
    first = await stores.dead_letters.entries(3)
    rest = await stores.dead_letters.entries(3, before=first[-1].id)
    assert [entry.origin[-1] for entry in [*first, *rest]] == list("43210")


async def test_a_message_goes_to_the_input_topic_again(stores, settings):
    await stores.jobs.submit([], [poison(b"\xff\0", key="k\xe9y".encode())])
    (announced,) = await take_due(stores.outbox, 60.0)
    await stores.outbox.delivered([announced.id])
    (entry,) = await stores.dead_letters.entries(10)
    assert await stores.dead_letters.replay(entry.id)
    (again,) = await take_due(stores.outbox, 60.0)
    assert (again.content.kind, again.content.destination) == ("message", settings.kafka_topic_input)
    assert (again.content.key, again.content.body) == ("k\xe9y", b"\xff\0")
    assert not await stores.dead_letters.replay(entry.id)
    assert await stores.dead_letters.entries(10) == []


async def test_a_dropped_message_that_comes_again_stays_dropped(stores):
    await stores.jobs.submit([], [poison()])
    (entry,) = await stores.dead_letters.entries(10)
    assert await stores.dead_letters.drop(entry.id)
    assert not await stores.dead_letters.drop(entry.id)
    await stores.jobs.submit([], [poison()])
    assert await stores.dead_letters.entries(10) == []


async def test_a_job_begins_anew_and_may_fail_again(stores):
    job = await failed_from_kafka(stores)
    for _ in range(2):
        (entry,) = await stores.dead_letters.entries(10)
        assert (entry.job_id, entry.origin, entry.failure, entry.attempts) == (
            job.id,
            FROM_KAFKA.removeprefix("kafka:"),
            AWAY.failure,
            1,
        )
        assert await stores.dead_letters.replay(entry.id)
        anew = await stores.jobs.get(job.id)
        assert (anew.state, anew.attempts, anew.outcome, anew.finished_at) == ("queued", 0, None, None)
        (lease,) = await stores.jobs.claim("worker", 1, LEASE_S)
        await stores.jobs.finish(lease, AWAY)
    assert len(await stores.outbox.of_job(job.id)) == 3


async def test_a_replayed_job_waits_for_its_turn(stores):
    job = await failed_from_kafka(stores)
    await stores.jobs.submit([request("ann")])
    (running,) = await stores.jobs.claim("worker", 9, LEASE_S)
    (entry,) = await stores.dead_letters.entries(10)
    await stores.dead_letters.replay(entry.id)
    assert await stores.jobs.claim("worker", 9, LEASE_S) == []
    await stores.jobs.finish(running, DONE)
    assert [lease.job.id for lease in await stores.jobs.claim("worker", 9, LEASE_S)] == [job.id]


async def test_a_job_is_final_once_it_cannot_be_replayed(stores):
    replayed, dropped = await failed_from_kafka(stores), await failed_from_kafka(stores)
    assert await stores.jobs.over([replayed.id, dropped.id, uuid4()]) == {replayed.id: False, dropped.id: False}
    of_dropped, of_replayed = await stores.dead_letters.entries(10)
    assert await stores.dead_letters.replay(of_replayed.id)
    assert await stores.dead_letters.drop(of_dropped.id)
    assert await stores.jobs.over([replayed.id, dropped.id]) == {replayed.id: False, dropped.id: True}


async def test_a_deleted_job_has_no_dead_letter(stores):
    job = await failed_from_kafka(stores)
    await stores.jobs.delete(job.id)
    assert await stores.dead_letters.entries(10) == []


async def test_a_message_restarts_a_job_only_once(stores):
    job, message, another = await failed_from_kafka(stores), uuid4(), uuid4()
    for by, begun in ((message, True), (message, False), (another, True), (another, False)):
        assert await stores.dead_letters.replay_job(job.id, by) is begun
        for lease in await stores.jobs.claim("worker", 1, LEASE_S):
            assert await stores.jobs.finish(lease, AWAY)
    assert len(await stores.dead_letters.entries(10)) == 1
    assert not await stores.dead_letters.replay_job(uuid4(), message)
