import asyncio

import pytest

from gateway.jobs.outbox import DeliveryError
from gateway.kafka import sender as module
from gateway.kafka.sender import open_message_sender
from gateway.metrics.instruments import Instruments
from tests.integration.kafka.deliveries import delivery
from tests.integration.kafka.messages import headers_of


async def test_a_message_arrives_as_it_is_in_the_outbox(settings, topics):
    topic = settings.kafka_topic_output
    async with open_message_sender(settings, Instruments("worker").kafka) as courier:
        await courier.deliver(delivery(topic, "schlüssel", b"\x00\xff", reason="no_person", detail="niemand — 0"))
        await courier.deliver(delivery(topic, "", b""))
    records = await topics.read(topic, 2)
    keyed = next(record for record in records if record.key)
    assert (keyed.key.decode(), keyed.value) == ("schlüssel", b"\x00\xff")
    assert headers_of(keyed) == {"reason": "no_person", "detail": "niemand — 0"}


async def test_many_at_once(settings, topics):
    topic = settings.kafka_topic_output
    async with open_message_sender(settings, Instruments("worker").kafka) as courier:
        await asyncio.gather(*(courier.deliver(delivery(topic, str(n))) for n in range(1000)))
    assert {record.key.decode() for record in await topics.read(topic, 1000)} == {str(n) for n in range(1000)}


async def test_a_message_that_is_too_large_is_given_up(monkeypatch, settings):
    monkeypatch.setattr(module, "_LARGEST_BYTES", 2000)
    async with open_message_sender(settings, Instruments("worker").kafka) as courier:
        with pytest.raises(DeliveryError, match="MessageSizeTooLarge") as caught:
            await courier.deliver(delivery(settings.kafka_topic_output, "k", bytes(3000)))
        assert caught.value.lasting
        await courier.deliver(delivery(settings.kafka_topic_output, "k", bytes(1000)))


async def test_a_delivery_is_postponed_without_a_broker(ours):
    async with open_message_sender(ours("127.0.0.1:1"), Instruments("worker").kafka) as courier:
        with pytest.raises(DeliveryError, match=r"127\.0\.0\.1:1: nobody listens there") as caught:
            await courier.deliver(delivery("any", "k"))
        assert not caught.value.lasting
