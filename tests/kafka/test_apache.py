"""Before Apache Kafka: what its clients can send, and what can happen to its topics and brokers."""

from collections import Counter

from gateway.kafka.topics import make_topics
from tests.integration.kafka.messages import PARTITIONS, client, request
from tests.integration.kafka.stores import ingesting, opened_stores, request_ids, until
from tests.kafka.raw import batch, produce


async def test_a_record_that_nobody_can_read_is_stepped_over_in_each_partition(ours, cluster):
    settings = ours(cluster.plain)
    async with opened_stores(settings) as stores, client(settings) as topics:
        await make_topics(settings)
        origins = []
        for partition in PARTITIONS:
            values = [request(partition, f"{partition}-{index}") for index in range(5)]
            offset = await produce(cluster.plain, settings.kafka_topic_input, partition, batch(values, bad=[2]))
            origins.append(f"{settings.kafka_topic_input}/{partition}/{offset + 2}")
        async with ingesting(settings, stores) as ingestion:
            await until(lambda: "stands still" in (ingestion.pulse.failing or ""), 30, "health says so")
            assert "UTF-8" in ingestion.pulse.failing or "utf-8" in ingestion.pulse.failing
            await topics.send(request(9, "later"))
            await until(lambda: _is(topics.committed, 31), 60, "all offsets are committed")
            await until(lambda: ingestion.pulse.failing is None, 10, "it is healthy again")
        wanted = {f"{partition}-{index}" for partition in PARTITIONS for index in (0, 1, 3, 4)} | {"later"}
        assert set(await request_ids(stores)) == wanted
        entries = await stores.poison.entries(100)
        assert sorted(entry.origin for entry in entries) == sorted(origins)
        assert Counter(entry.failure.code for entry in entries) == {"message_unreadable": 6}


async def _is(count, wanted: int) -> bool:
    return await count() == wanted
