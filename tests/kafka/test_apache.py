"""Before Apache Kafka: what its clients can send, and what can happen to its topics and brokers."""

import asyncio
import hashlib
import json
from collections import Counter
from contextlib import AsyncExitStack

import pytest
from aiokafka.errors import KafkaError
from confluent_kafka import Producer

from gateway.kafka.consumer import joined
from gateway.kafka.topics import make_topics
from tests.integration.kafka.messages import PARTITIONS, client, headers_of, request
from tests.integration.kafka.raw import produce
from tests.integration.kafka.stores import ingesting, opened_stores, request_ids, until
from tests.kafka.cluster import BROKERS
from tests.kafka.parts import finishing, relaying
from tests.unit.gateway.kafka.batches import CODECS, built

OWN_CERTIFICATE = {
    "kafka_ssl_cafile": "ca.pem",
    "kafka_ssl_certfile": "client.pem",
    "kafka_ssl_keyfile": "client.key",
}
PASSWORD = {
    "kafka_security_protocol": "SASL_PLAINTEXT",
    "kafka_username": "maskwright",
    "kafka_password": "secret",
}
SASL_SSL = {**PASSWORD, "kafka_security_protocol": "SASL_SSL"}


async def test_an_unreadable_record_is_skipped_in_each_partition(ours, cluster):
    settings = ours(cluster.plain)
    async with opened_stores(settings) as stores, client(settings) as topics:
        await make_topics(settings)
        origins = []
        for partition in PARTITIONS:
            values = [request(partition, f"{partition}-{index}") for index in range(5)]
            offset = await produce(cluster.plain, settings.kafka_topic_input, partition, built(values, bad=[2]))
            origins.append(f"{settings.kafka_topic_input}/{partition}/{offset + 2}")
        async with ingesting(settings, stores) as ingestion:
            await until(lambda: "stands still" in (ingestion.heartbeat.failing or ""), 30, "health says so")
            assert "UTF-8" in ingestion.heartbeat.failing or "utf-8" in ingestion.heartbeat.failing
            await topics.send(request(9, "later"))
            await until(lambda: _is(topics.committed, 31), 60, "all offsets are committed")
            await until(lambda: ingestion.heartbeat.failing is None, 10, "it is healthy again")
        wanted = {f"{partition}-{index}" for partition in PARTITIONS for index in (0, 1, 3, 4)} | {"later"}
        assert set(await request_ids(stores)) == wanted
        entries = await stores.dead_letters.entries(100)
        assert sorted(entry.origin for entry in entries) == sorted(origins)
        assert Counter(entry.failure.code for entry in entries) == {"message_unreadable": 6}


async def _is(count, wanted: int) -> bool:
    return await count() == wanted


async def test_only_the_batch_that_is_damaged_on_disk_is_skipped(ours, cluster):
    settings = ours(cluster.plain)
    topic = settings.kafka_topic_input
    cluster.make(topic, partitions=1, replicas=1)
    async with opened_stores(settings) as stores, client(settings) as topics:
        sent = [built([request(n, f"{n}-{part}") for part in "ab"]) for n in range(3)]
        for data in sent:
            await produce(cluster.plain, topic, 0, data)
        cluster.corrupt(topic, b'"1-b"')
        async with ingesting(settings, stores):
            await until(lambda: _is(topics.committed, 6), 60, "all offsets are committed")
        assert await request_ids(stores) == ["0-a", "0-b", "2-a", "2-b"]
        [entry] = await stores.dead_letters.entries(10)
        assert (entry.origin, entry.size) == (f"{topic}/0/2", len(sent[1]))
        assert "offsets 2 to 3" in entry.failure.detail


async def test_every_compression_codec_is_read_even_those_set_by_the_topic(ours, cluster):
    settings = ours(cluster.plain)
    cluster.make(settings.kafka_topic_input, **{"compression.type": "zstd"})
    async with opened_stores(settings) as stores, client(settings) as topics:
        for name, codec in CODECS.items():
            await produce(cluster.plain, settings.kafka_topic_input, codec, built([request(1, name)], codec=codec))
        async with ingesting(settings, stores):
            await until(lambda: _is(topics.committed, 5), 30, "all offsets are committed")
        assert await request_ids(stores) == sorted(CODECS)


async def test_messages_of_an_aborted_transaction_are_not_worked_on(ours, cluster):
    settings = ours(cluster.plain)
    topic = settings.kafka_topic_input
    await make_topics(settings)
    producer = Producer({"bootstrap.servers": cluster.plain, "transactional.id": topic, "linger.ms": 0})
    producer.init_transactions(30)
    for number, end in enumerate(["abort", "commit", "abort", "commit"]):
        producer.begin_transaction()
        for partition in PARTITIONS:
            producer.produce(topic, request(partition, f"{end}-{number}-{partition}"), partition=partition)
        producer.flush(30)
        if end == "abort":
            producer.abort_transaction(30)
        else:
            producer.commit_transaction(30)
    bad = built([request(1, "good"), request(1, "bad")], bad=[1])
    await produce(cluster.plain, topic, 0, bad)
    async with opened_stores(settings) as stores, client(settings) as topics:
        await topics.send(*(request(9, f"last-{number}") for number in range(20)))
        async with ingesting(settings, stores):
            wanted = {f"commit-{number}-{partition}" for number in (1, 3) for partition in PARTITIONS}
            wanted |= {"good", *(f"last-{number}" for number in range(20))}
            await until(lambda: _are(stores, wanted), 60, "all that counts is there")
        assert set(await request_ids(stores)) == wanted


async def test_partitions_that_are_added_and_a_topic_made_again_are_taken_soon(ours, cluster):
    settings = ours(cluster.plain)
    topic = settings.kafka_topic_input
    cluster.make(topic, partitions=1)
    async with opened_stores(settings) as stores, ingesting(settings, stores) as ingestion:
        await _send(cluster, topic, 0, *(f"first-{number}" for number in range(3)))
        await until(lambda: _have(stores, 3), 60, "messages are taken")
        cluster.add_partitions(topic, 3)
        await _send(cluster, topic, 2, "added")
        await until(lambda: _have(stores, 4), 30, "the new partition is taken")
        cluster.delete(topic)
        await until(lambda: "is not there" in (ingestion.heartbeat.failing or ""), 30, "health says what is missing")
        cluster.make(topic, partitions=1)
        # Past the offset where the reading of the topic before had come.
        await _send(cluster, topic, 0, *(f"again-{number}" for number in range(8)))
        await until(lambda: _have(stores, 12), 30, "the topic made again is taken from its beginning")
        await until(lambda: ingestion.heartbeat.failing is None, 10, "it is healthy again")


async def test_a_member_whose_broker_knows_of_too_few_partitions_joins_again(ours, cluster):
    settings = ours(cluster.plain)
    cluster.make(settings.kafka_topic_input, partitions=1)
    async with joined(settings, 1) as (consumer, _):
        assert len(consumer.assignment()) == 1
    with pytest.raises(KafkaError, match="knows of 1 of 3 partitions"):
        async with joined(settings, 3):
            pass


async def test_a_topic_made_again_at_once_is_taken_from_its_beginning(ours, cluster):
    settings = ours(cluster.plain)
    topic = settings.kafka_topic_input
    cluster.make(topic, partitions=1)
    async with opened_stores(settings) as stores, ingesting(settings, stores):
        await _send(cluster, topic, 0, *(f"first-{number}" for number in range(3)))
        await until(lambda: _have(stores, 3), 60, "messages are taken")
        cluster.delete(topic)
        cluster.make(topic, partitions=1)
        await _send(cluster, topic, 0, *(f"again-{number}" for number in range(8)))
        await until(lambda: _have(stores, 11), 30, "its messages are taken")


async def test_a_member_without_partitions_says_so(ours, cluster):
    settings = ours(cluster.plain)
    cluster.make(settings.kafka_topic_input, partitions=1)
    async with opened_stores(settings) as stores, AsyncExitStack() as stack:
        both = [await stack.enter_async_context(ingesting(settings, stores)) for _ in range(2)]
        await until(lambda: any("no partition" in (one.note or "") for one in both), 30, "who has none says so")
        assert [one.heartbeat.failing for one in both] == [None, None]


async def test_a_dead_letter_too_large_for_its_topic_is_sent_as_a_reference(ours, cluster):
    settings = ours(cluster.plain)
    cluster.make(settings.kafka_topic_input, **{"max.message.bytes": "10485760"})
    value = b"x" * 6_000_000
    async with opened_stores(settings) as stores, client(settings) as topics, relaying(settings, stores):
        await topics.send(value)
        async with ingesting(settings, stores):
            [told] = await topics.read(settings.kafka_topic_poison, 1)
        [entry] = await stores.dead_letters.entries(10)
    headers = headers_of(told)
    digest = hashlib.sha256(value).hexdigest()
    assert (headers["origin"], headers["reason"]) == (entry.origin, "invalid_json")
    assert (headers["value_bytes"], headers["value_sha256"]) == ("6000000", digest)
    topic, partition, offset = entry.origin.split("/")
    assert json.loads(told.value) == {
        "topic": topic,
        "partition": int(partition),
        "offset": int(offset),
        "value_bytes": "6000000",
        "value_sha256": digest,
    }


async def test_client_certificates(ours, cluster):
    own = {name: cluster.folder / file for name, file in OWN_CERTIFICATE.items()}
    settings = ours(cluster.listener(2), kafka_security_protocol="SSL", **own)
    async with opened_stores(settings) as stores, ingesting(settings, stores) as ingestion:
        await until(lambda: len(ingestion.lag) == 6, 30, "the group is joined")


async def test_tokens_of_an_oauth_server(ours, cluster, tokens):
    settings = ours(
        cluster.listener(3),
        kafka_security_protocol="SASL_PLAINTEXT",
        kafka_sasl_mechanism="OAUTHBEARER",
        **tokens.settings(),
    )
    async with opened_stores(settings) as stores, ingesting(settings, stores) as ingestion:
        await until(lambda: len(ingestion.lag) == 6, 30, "the group is joined")
    assert set(tokens.forms) == {"grant_type=client_credentials&scope=kafka"}


@pytest.mark.parametrize(
    ("listener", "fields", "cause"),
    [
        (3, {**PASSWORD, "kafka_password": "wrong"}, "the login is refused"),
        (3, {**PASSWORD, "kafka_sasl_mechanism": "SCRAM-SHA-256"}, "it does not take this KAFKA_SASL_MECHANISM"),
        (1, SASL_SSL, "an authority that is not known here: KAFKA_SSL_CAFILE"),
        (0, {"kafka_security_protocol": "SSL"}, "this port does not speak TLS"),
        (2, {}, "this port speaks TLS"),
        (3, {}, "does it want a login"),
        (0, PASSWORD, "this port takes no login"),
        (
            2,
            {"kafka_security_protocol": "SSL", "kafka_ssl_cafile": "ca.pem"},
            "KAFKA_SSL_CERTFILE; perhaps there is none",
        ),
    ],
)
async def test_the_cause_is_reported(ours, cluster, listener, fields, cause):
    files = {name: cluster.folder / value for name, value in fields.items() if name.endswith("file")}
    settings = ours(cluster.listener(listener), **{**fields, **files})
    async with opened_stores(settings) as stores, ingesting(settings, stores) as ingestion:
        await until(lambda: ingestion.heartbeat.failing, 30, "it fails")
        assert cause in ingestion.heartbeat.failing
        assert cluster.address(1, listener) in ingestion.heartbeat.failing


async def test_each_broker_dies_and_every_outcome_comes_once(ours, cluster):
    settings = ours(cluster.plain, queue_max_size=1000)
    async with opened_stores(settings) as stores, client(settings) as topics, relaying(settings, stores):
        await make_topics(settings)
        async with ingesting(settings, stores), finishing(stores):
            sending = asyncio.create_task(_send_slowly(topics, 300))
            for broker in BROKERS:
                before = await stores.jobs.jobs.finished()
                await until(lambda before=before: _finished(stores, before + 20), 60, "work goes on")
                cluster.kill(broker)
                cluster.start(broker)  # it is let in again when it is missed
                await until(lambda: asyncio.to_thread(cluster.is_whole), 60, "the broker is back")
            await sending
            await until(lambda: _finished(stores, 300), 60, "all are worked on")
            await until(lambda: _told(topics), 60, "all are told of")
        outcomes = await topics.read_all(settings.kafka_topic_output)
    told = Counter(json.loads(outcome.value)["request_id"] for outcome in outcomes)
    assert len(told) == 300
    assert {name: times for name, times in told.items() if times > 1} == {}


async def _send_slowly(topics, count: int) -> None:
    for number in range(count):
        await _send_surely(topics, request(number, f"{number}"))
        await asyncio.sleep(0.05)  # so that messages come before, in and after each outage


async def _send_surely(topics, value: bytes) -> None:
    """As a client does whose broker dies: it sends until it is acknowledged."""
    while True:
        try:
            await topics.producer.send_and_wait(topics.settings.kafka_topic_input, value)
        except KafkaError:
            await asyncio.sleep(0.3)
        else:
            return


async def _send(cluster, topic: str, partition: int, *names: str) -> None:
    await until(lambda: cluster.has(topic, partition), 10, "the partition is there")
    await produce(cluster.plain, topic, partition, built([request(1, name) for name in names]))


async def _have(stores, count: int) -> bool:
    return len(await request_ids(stores)) == count


async def _are(stores, wanted: set[str]) -> bool:
    return set(await request_ids(stores)) >= wanted


async def _finished(stores, count: int) -> bool:
    return await stores.jobs.jobs.finished() >= count


async def _told(topics) -> bool:
    outcomes = await topics.read_all(topics.settings.kafka_topic_output)
    return len({outcome.key for outcome in outcomes}) >= 300
