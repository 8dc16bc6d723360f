import json
from collections import Counter

from gateway.jobs.job import JobFilter
from gateway.jobs.objects import photo_key
from tests.integration.kafka.messages import PARTITIONS, PHOTO, client, png, request
from tests.integration.kafka.raw import produce
from tests.integration.kafka.stores import ingesting, opened_stores, request_ids, until, work_off
from tests.integration.postgres.making import request as new_job
from tests.outboxes import take_due
from tests.unit.gateway.kafka.batches import built

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


async def test_each_message_ends_as_a_job_a_failed_job_or_a_dead_letter(settings, topics, stores):
    good = [request(user, f"good-{user}") for user in range(10)]
    failing = [request(user, f"failing-{user}", mask_types=["socks"]) for user in range(5)]
    poison = [b"{", None, b"[]", b'{"user_id": 1}', request("", "nobody")]
    await topics.send(*good[:5], *poison, *failing, *good[5:])
    async with ingesting(settings, stores) as ingestion:
        await until(lambda: _is(topics.committed, 20), 30, "all offsets are committed")
        assert sum(ingestion.lag.values()) == 0
    jobs = await stores.jobs.jobs.find(JobFilter(limit=100))
    assert Counter(job.state for job in jobs) == {"queued": 10, "failed": 5}
    for job in jobs:
        if job.state == "queued":
            assert (await stores.photos.get(photo_key(job.id))).data == PHOTO
    told = [delivery.content for delivery in await take_due(stores.outbox, 10)]
    assert Counter(one.destination for one in told) == {
        settings.kafka_topic_output: 5,
        settings.kafka_topic_poison: 5,
    }
    assert all(
        json.loads(one.body)["status"] == "failed" for one in told if one.destination == settings.kafka_topic_output
    )
    assert len(await stores.dead_letters.entries(100)) == 5


async def test_a_message_that_was_kept_but_not_committed_is_kept_once(settings, topics, stores):
    await topics.send(*(request(user, str(user)) for user in range(20)))
    stores.jobs.hangs = True
    async with ingesting(settings, stores):
        await until(lambda: stores.jobs.kept > 0, 30, "something is kept")
    assert await topics.committed() == 0
    stores.jobs.hangs = False
    async with ingesting(settings, stores):
        await until(lambda: _is(topics.committed, 20), 30, "all offsets are committed")
    assert await request_ids(stores) == sorted(map(str, range(20)))
    assert stores.jobs.kept > 20


async def test_messages_wait_while_the_store_is_away(settings, topics, stores):
    async with ingesting(settings, stores) as ingestion:
        await until(lambda: len(ingestion.lag) == 6, 30, "the group is joined")
        stores.jobs.away = True
        await topics.send(*(request(user, str(user)) for user in range(20)))
        await until(lambda: _tried_or_paused(stores, ingestion), 30, "the messages are seen")
        assert await topics.committed() == 0
        stores.jobs.away = False
        await until(lambda: _is(topics.committed, 20), 30, "all offsets are committed")
    assert len(await request_ids(stores)) == 20


async def test_a_full_queue_holds_the_messages_in_the_broker(ours, kafka_server):
    settings = ours(kafka_server, queue_max_size=10)
    async with opened_stores(settings) as stores, client(settings) as topics:
        await topics.send(*(request(user, str(user)) for user in range(30)))
        async with ingesting(settings, stores) as ingestion:
            await until(lambda: 20 <= sum(ingestion.lag.values()) <= 25, 30, "the queue is full")
            held = sum(ingestion.lag.values())
            for user in range(30, 40):  # one by one: the embedded broker tells an end only at the next message
                await topics.send(request(user, str(user)))
            await until(lambda: sum(ingestion.lag.values()) > held, 30, "the lag grows while nothing is taken")
            async with ingesting(settings, stores) as other:
                await until(lambda: len(ingestion.lag) == len(other.lag) == 3, 60, "each has half of the partitions")
            await until(lambda: _worked_off(stores, 40), 60, "messages flow again")
            await until(lambda: _is(topics.committed, 40), 30, "all offsets are committed")
        assert stores.jobs.most_queued <= 10
        assert len(await request_ids(stores)) == 40


async def test_messages_are_taken_although_another_tenant_filled_the_queue(ours, kafka_server):
    settings = ours(kafka_server, queue_max_size=10)
    async with opened_stores(settings) as stores, client(settings) as topics:
        await stores.jobs.jobs.submit([new_job(tenant="acme", priority=10) for _ in range(10)])
        await topics.send(*(request(user, str(user)) for user in range(8)))
        async with ingesting(settings, stores) as ingestion:
            await until(lambda: _is(topics.committed, 5), 30, "its share is taken")
            await until(lambda: sum(ingestion.lag.values()) == 3, 30, "the rest waits in the broker")
            await until(lambda: _worked_off(stores, 18), 60, "both are worked off")
            await until(lambda: _is(topics.committed, 8), 30, "all offsets are committed")
        assert await request_ids(stores) == sorted(map(str, range(8)))


async def test_members_share_the_partitions_and_who_stays_takes_over(settings, topics, stores):
    await topics.send(*(request(user, f"a-{user}") for user in range(12)))
    async with ingesting(settings, stores) as stays:
        async with ingesting(settings, stores) as leaves:
            await until(lambda: len(stays.lag) == len(leaves.lag) == 3, 60, "each has half of the partitions")
            assert not stays.lag.keys() & leaves.lag.keys()
            await topics.send(*(request(user, f"b-{user}") for user in range(12)))
            await until(lambda: _is(topics.committed, 24), 30, "both take messages")
        await until(lambda: len(stays.lag) == 6, 30, "who stays has all partitions")
        await topics.send(*(request(user, f"c-{user}") for user in range(12)))
        await until(lambda: _is(topics.committed, 36), 30, "who stays takes all")
    assert len(await request_ids(stores)) == 36


async def test_a_large_message_comes_through_among_small_ones(settings, topics, stores):
    large = png(1300, 1000)
    values = [request(1, "small-1"), request(2, "large", large), request(3, "small-2")]
    assert len(values[1]) > 5_000_000
    await topics.send(*values)
    async with ingesting(settings, stores):
        await until(lambda: _is(topics.committed, 3), 30, "all offsets are committed")
    assert await request_ids(stores) == ["large", "small-1", "small-2"]
    (job,) = await stores.jobs.jobs.find(JobFilter(request_id="large"))
    assert (await stores.photos.get(photo_key(job.id))).data == large


async def test_a_message_with_a_header_without_a_value_is_read(settings, topics, stores):
    await topics.send(request(1, "plain"), headers=[("traceparent", None), ("other", None)])
    async with ingesting(settings, stores):
        await until(lambda: _is(topics.committed, 1), 30, "the offset is committed")
    assert await request_ids(stores) == ["plain"]


async def test_a_given_trace_is_continued(settings, topics, stores):
    header = f"00-{TRACE}-00f067aa0ba902b7-01".encode()
    await topics.send(request(1, "traced"), headers=[("traceparent", header)])
    async with ingesting(settings, stores):
        await until(lambda: _is(topics.committed, 1), 30, "the offset is committed")
    (job,) = await stores.jobs.jobs.find(JobFilter())
    assert job.request.trace_id == TRACE


async def test_a_repeated_request_is_one_job_and_a_reused_id_is_a_dead_letter(settings, topics, stores):
    await topics.send(request(1, "r"))
    await topics.send(request(1, "r"))
    await topics.send(request(1, "r", mask_types="dress"), request(1, "other"))
    async with ingesting(settings, stores):
        await until(lambda: _is(topics.committed, 4), 30, "all offsets are committed")
    assert await request_ids(stores) == ["other", "r"]
    jobs = await stores.jobs.jobs.find(JobFilter())
    assert sorted(await stores.photos.keys("")) == sorted(photo_key(job.id) for job in jobs)
    entries = await stores.dead_letters.entries(10)
    assert Counter(entry.failure.code for entry in entries) in (
        {"idempotency_conflict": 1},
        {"idempotency_conflict": 2},
    )


async def _is(count, wanted: int) -> bool:
    return await count() == wanted


async def _worked_off(stores, jobs: int) -> bool:
    """Work on a few more; whether so many are done."""
    await work_off(stores, 3)
    return await stores.jobs.jobs.finished() == jobs


def _tried_or_paused(stores, ingestion) -> bool:
    return stores.jobs.tries > 0 or sum(ingestion.lag.values()) > 0


async def test_an_unreadable_record_is_skipped(settings, topics, stores):
    await topics.send(request(1, "before"))
    unreadable = built([request(1, "good"), request(1, "bad")], bad=[1])
    for partition in PARTITIONS:
        await produce(settings.kafka_bootstrap_servers, settings.kafka_topic_input, partition, unreadable)
    await topics.send(request(1, "after"))
    async with ingesting(settings, stores):
        await until(lambda: _is(topics.committed, 14), 30, "all offsets are committed")
    assert set(await request_ids(stores)) == {"before", "good", "after"}
    assert Counter(entry.failure.code for entry in await stores.dead_letters.entries(10)) == {"message_unreadable": 6}
