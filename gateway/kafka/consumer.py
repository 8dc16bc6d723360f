"""A member of the consumer group."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from gateway.kafka.connection import REQUEST_TIMEOUT_S, connection_arguments
from gateway.kafka.valve import Valve
from gateway.settings import Settings

SESSION_TIMEOUT_MS = 6000
_HEARTBEAT_MS = 2000
_FETCH_BYTES = 8 * 1024 * 1024
_PARTITION_BYTES = 1024 * 1024
"""What is fetched ahead. A larger message still comes whole, alone in its answer (KIP-74)."""
_JOIN_S = 60.0
"""The other members have half of it to come back, or else the group goes on without them."""


@asynccontextmanager
async def joined(settings: Settings, partitions: int) -> AsyncIterator[tuple[AIOKafkaConsumer, Valve]]:
    """A consumer of the input topic that is a member of its group, and its valve; it leaves the group at the end.

    Raises KafkaError, also where the brokers that it asked do not know of so many partitions yet: as the group's
    leader it would share out too few, and not learn of the others for minutes.
    """
    consumer = AIOKafkaConsumer(
        **connection_arguments(settings),
        group_id=settings.kafka_consumer_group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=SESSION_TIMEOUT_MS,
        heartbeat_interval_ms=_HEARTBEAT_MS,
        fetch_max_bytes=_FETCH_BYTES,
        max_partition_fetch_bytes=_PARTITION_BYTES,
        isolation_level="read_committed",
    )
    valve = Valve(consumer, settings.queue_max_size)
    consumer.subscribe([settings.kafka_topic_input], listener=valve)
    try:
        with anyio.move_on_after(_JOIN_S) as join:
            await consumer.start()
        if join.cancelled_caught:
            raise KafkaError(f"the group {settings.kafka_consumer_group} gave no partitions within {_JOIN_S:g} s")
        known = len(consumer.partitions_for_topic(settings.kafka_topic_input) or ())
        if known < partitions:
            raise KafkaError(f"a broker knows of {known} of {partitions} partitions of {settings.kafka_topic_input}")
        yield consumer, valve
    finally:
        with anyio.move_on_after(REQUEST_TIMEOUT_S + 1, shield=True):
            await consumer.stop()
