"""Messages out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from gateway.jobs.courier import Courier, DeliveryError
from gateway.jobs.deliveries import Delivery, NewDelivery
from gateway.kafka.connection import REQUEST_TIMEOUT_S, connection_arguments
from gateway.settings import Settings

_TIMEOUT_S = 8.0
_LARGEST_BYTES = 128 * 1024 * 1024
"""The broker's own limit is the one that counts."""

_LINGER_MS = 5
_LONGEST_DELAY_S = 30.0
_EXPONENTS = 16


@asynccontextmanager
async def open_message_courier(settings: Settings) -> AsyncIterator[Courier]:
    """Carries deliveries of kind `message`, for as long as the context lasts. Raises SettingsError."""
    courier = MessageCourier(connection_arguments(settings))
    try:
        yield courier
    finally:
        await courier.close()


class MessageCourier:
    """Sends through one producer, which is made when it is needed and replaced when it is broken."""

    def __init__(self, arguments: dict[str, object]) -> None:
        self._arguments = arguments
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._stopping: set[asyncio.Task[None]] = set()

    async def deliver(self, delivery: Delivery) -> None:
        """Send and wait until all replicas have it; an unknown end may mean that it was sent. Raises DeliveryError."""
        producer: AIOKafkaProducer | None = None
        try:
            with anyio.fail_after(_TIMEOUT_S):
                producer = await self._started()
                await _send(producer, delivery.content)
        except MessageSizeTooLargeError as error:
            raise DeliveryError(str(error), lasting=True) from error
        except (KafkaError, TimeoutError) as error:
            if not getattr(error, "retriable", False):
                self._discard(producer)
            raise DeliveryError(str(error) or f"not acknowledged within {_TIMEOUT_S:g} s") from error

    def delay_s(self, attempts: int) -> float | None:
        """1, 2, 4 … at most 30 s, and never the end: an outcome must go out."""
        return min(_LONGEST_DELAY_S, 2.0 ** min(max(0, attempts - 1), _EXPONENTS))

    async def close(self) -> None:
        """Send what is left, and disconnect."""
        self._discard(self._producer)
        with anyio.move_on_after(REQUEST_TIMEOUT_S, shield=True):
            await asyncio.gather(*self._stopping, return_exceptions=True)

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                self._producer = await self._start()
            return self._producer

    async def _start(self) -> AIOKafkaProducer:
        """Without idempotence, which not every broker has: a message sent twice is the same message."""
        producer = AIOKafkaProducer(
            **self._arguments, acks="all", linger_ms=_LINGER_MS, max_request_size=_LARGEST_BYTES
        )
        try:
            await producer.start()
        except BaseException:
            self._stop(producer)
            raise
        return producer

    def _discard(self, producer: AIOKafkaProducer | None) -> None:
        if producer is not None and producer is self._producer:
            self._producer = None
            self._stop(producer)

    def _stop(self, producer: AIOKafkaProducer) -> None:
        """In the background, because a producer stops only when its last messages were sent or given up."""
        task = asyncio.create_task(producer.stop())
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)


async def _send(producer: AIOKafkaProducer, content: NewDelivery) -> None:
    await producer.send_and_wait(
        content.destination,
        value=content.body,
        key=content.key.encode() or None,
        headers=[(name, value.encode()) for name, value in content.headers.items()],
    )
