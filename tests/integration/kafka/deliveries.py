"""Deliveries as an outbox holds them."""

from datetime import UTC, datetime

from gateway.jobs.outbox import Delivery, DeliveryError, OutboxMessage, Sender
from tests.integration.kafka.stores import until

NOW = datetime(2025, 11, 26, 12, tzinfo=UTC)


def delivery(topic: str, key: str, body: bytes = b"{}", **headers: str) -> Delivery:
    return Delivery(1, None, OutboxMessage("message", topic, key, body, headers), "pending", 1, NOW, NOW)


async def deliver_until_done(sender: Sender, one: Delivery) -> None:
    """What a relay does, without its pauses of seconds."""
    await until(lambda: _delivered(sender, one), 60, "it is delivered")


async def _delivered(sender: Sender, one: Delivery) -> bool:
    try:
        await sender.deliver(one)
    except DeliveryError as error:
        if error.lasting:
            raise
        return False
    return True
