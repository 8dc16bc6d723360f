import asyncio
import os
import signal
import socket
from contextlib import AsyncExitStack, contextmanager, suppress

import pytest

from gateway.jobs.outbox import DeliveryError
from gateway.kafka.sender import open_message_sender
from gateway.metrics.instruments import Instruments
from tests.integration.kafka.deliveries import deliver_until_done, delivery
from tests.integration.kafka.messages import Topics, client, request
from tests.integration.kafka.stores import ingesting, opened_stores, request_ids, until
from tests.servers import Server, running_kafka


@pytest.fixture(scope="module")
def broker(s3_server):
    """A broker that may be harmed; it is started again."""
    with running_kafka(s3_server) as server:
        yield server


@pytest.fixture
def silent_address():
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def stopped(pid: int):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # its keeper ends what does not answer
            os.kill(pid, signal.SIGCONT)


async def killed(broker: Server) -> None:
    """Kill it, and return when it is back."""
    pid = broker.pid
    os.kill(pid, signal.SIGKILL)
    await until(lambda: broker.is_ready() and broker.pid != pid, 30, "the broker is back")


async def test_a_killed_broker_loses_and_doubles_nothing(ours, broker):
    settings = ours(broker.address, queue_max_size=1000)
    async with opened_stores(settings) as stores, client(settings) as topics:
        await topics.send(*(request(user, f"a-{user}") for user in range(100)))
        async with ingesting(settings, stores):
            await until(lambda: stores.jobs.kept > 0, 30, "messages are taken")
            await killed(broker)
            await topics.send(*(request(user, f"b-{user}") for user in range(100)))
            await until(lambda: _committed(topics, 200), 60, "all offsets are committed")
        assert await request_ids(stores) == sorted(f"{half}-{user}" for half in "ab" for user in range(100))


async def test_an_ingestion_begins_when_its_broker_answers(ours, broker):
    settings = ours(broker.address)
    async with opened_stores(settings) as stores, AsyncExitStack() as stack:
        with stopped(broker.pid):
            ingestion = await stack.enter_async_context(ingesting(settings, stores))
            await until(lambda: not broker.is_ready(), 30, "the broker is missed")
        await until(lambda: len(ingestion.lag) == 6, 60, "the group is joined")


async def test_an_ingestion_whose_broker_never_answers_can_be_stopped(ours, silent_address):
    settings = ours(silent_address)
    async with opened_stores(settings) as stores, ingesting(settings, stores) as ingestion:
        await asyncio.sleep(0)  # it begins
    assert not ingestion.lag


async def test_deliveries_outlive_a_killed_broker(ours, broker):
    settings = ours(broker.address)
    topic = settings.kafka_topic_output
    async with open_message_sender(settings, Instruments("worker").kafka) as sender:
        await sender.deliver(delivery(topic, "first"))
        carried = asyncio.gather(*(deliver_until_done(sender, delivery(topic, str(n))) for n in range(200)))
        await killed(broker)
        await asyncio.wait_for(carried, 60)
        await sender.deliver(delivery(topic, "last"))
    async with client(settings) as topics:
        records = await topics.read_all(topic)
    assert {record.key.decode() for record in records} == {"first", "last", *map(str, range(200))}


async def test_a_delivery_succeeds_once_a_hanging_broker_answers(ours, broker):
    settings = ours(broker.address)
    topic = settings.kafka_topic_output
    async with open_message_sender(settings, Instruments("worker").kafka) as sender:
        await sender.deliver(delivery(topic, "before"))
        with stopped(broker.pid):
            carried = asyncio.create_task(deliver_until_done(sender, delivery(topic, "while")))
            await until(lambda: not broker.is_ready(), 30, "the broker is missed")
        await asyncio.wait_for(carried, 60)


async def test_a_broker_that_never_answers_does_not_hang_a_delivery(ours, silent_address):
    async with open_message_sender(ours(silent_address), Instruments("worker").kafka) as sender:
        with pytest.raises(DeliveryError, match="not acknowledged within 8 s") as caught:
            await asyncio.wait_for(sender.deliver(delivery("any", "k")), 30)
    assert not caught.value.lasting


async def _committed(topics: Topics, messages: int) -> bool:
    return await topics.committed() == messages
