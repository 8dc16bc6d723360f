"""Messages out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError, MessageSizeTooLargeError, RecordListTooLargeError
from aiokafka.structs import RecordMetadata

from gateway.jobs.courier import DeliveryError
from gateway.jobs.deliveries import Delivery, NewDelivery
from gateway.kafka.cause import explained
from gateway.kafka.connection import REQUEST_TIMEOUT_S, connection_arguments
from gateway.kafka.poison import shortened
from gateway.logs import get_logger
from gateway.metrics.instruments import KafkaMetrics
from gateway.settings import Settings, SettingsError

_TIMEOUT_S = 8.0
"""What connecting, and finding the topic, may take; what the producer took over is given up by the producer alone."""
_LARGEST_BYTES = 64 * 1024 * 1024
"""The broker's own limit is the one that counts; it closes the connection on requests of 100 MB and more."""
_BATCH_BYTES = 16 * 1024
"""Smaller messages travel together; a broker that refuses such a batch may take each of them."""
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)

_GIVEN_UP_S = 30
"""What the producer gives a partition that has no leader; a new one is found within 10 s of a broker's death."""
_LINGER_MS = 5
_LONGEST_DELAY_S = 30.0
_EXPONENTS = 16


@asynccontextmanager
async def open_message_courier(settings: Settings, metrics: KafkaMetrics) -> AsyncIterator["MessageCourier"]:
    """Carries deliveries of kind `message`, for as long as the context lasts. Raises SettingsError."""
    connection_arguments(settings)
    courier = MessageCourier(settings, metrics)
    try:
        yield courier
    finally:
        await courier.close()


class MessageCourier:
    """Sends through one producer, which is made when it is needed and replaced when it is broken."""

    def __init__(self, settings: Settings, metrics: KafkaMetrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._log = get_logger("gateway.kafka")
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._silent: list[str] = []
        self._stopping: set[asyncio.Task[None]] = set()

    async def deliver(self, delivery: Delivery) -> None:
        """Send and wait until all replicas have it, or its producer gave it up. Raises DeliveryError.

        Where the broker knows idempotent producers, one never gives up a message for want of an answer: it stays
        under way, once, and `trouble` says so. Elsewhere an unknown end may mean that it was sent.
        """
        try:
            await self._send(delivery.content)
        except _TOO_LARGE as error:
            await self._send_short(delivery.content, error)

    async def _send_short(self, content: NewDelivery, error: KafkaError) -> None:
        """Without what makes it large. Raises DeliveryError, a lasting one where that is no help."""
        short = shortened(content)
        is_small = len(content.body) <= min(_BATCH_BYTES, _LARGEST_BYTES)
        if short is None or len(short.body) >= len(content.body):
            raise DeliveryError(str(error), lasting=not is_small) from error
        try:
            await self._send(short)
        except _TOO_LARGE as again:
            raise DeliveryError(str(again), lasting=True) from again
        self._metrics.shortened(content.destination)
        self._log.warning(
            "a message too large for its topic was sent without its value",
            topic=content.destination,
            bytes=len(content.body),
            origin=content.headers.get("origin"),
        )

    async def _send(self, content: NewDelivery) -> None:
        """Raises DeliveryError, and the client's errors for what is too large."""
        producer: AIOKafkaProducer | None = None
        try:
            with anyio.fail_after(_TIMEOUT_S):
                producer = await self._started()
                sent = await _hand_over(producer, content)
            await self._answered(sent, content.destination)
        except _TOO_LARGE:
            self._discard(producer)
            raise
        except SettingsError as error:
            raise DeliveryError(str(error)) from error
        except KafkaError as error:
            self._discard(producer)
            raise DeliveryError(await self._words(error, content)) from error
        except TimeoutError as error:
            raise DeliveryError(f"{content.destination}: not acknowledged within {_TIMEOUT_S:g} s") from error

    async def _answered(self, sent: "asyncio.Future[RecordMetadata]", topic: str) -> None:
        """Wait for the broker's answer, however long: the producer sends what it took over, and a second would too."""
        done, _ = await asyncio.wait([sent], timeout=_GIVEN_UP_S)
        if not done:
            self._silent.append(topic)
            try:
                await asyncio.wait([sent])
            finally:
                self._silent.remove(topic)
        await sent

    @property
    def trouble(self) -> str | None:
        """The topics whose broker does not answer."""
        names = ", ".join(sorted(set(self._silent)))
        return f"{names}: the broker has not acknowledged messages for {_GIVEN_UP_S} s" if names else None

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
        """An idempotent one, whose messages are in their topic once however often they are sent, if the broker has it.

        Raises KafkaError.
        """
        try:
            return await self._connected(enable_idempotence=True)
        except KafkaConnectionError:
            raise
        except (KafkaError, NotImplementedError) as error:
            producer = await self._connected(enable_idempotence=False)
            self._log.info(f"the broker has no idempotent producers; a message may come twice: {error!r}")
            return producer

    async def _connected(self, *, enable_idempotence: bool) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            **connection_arguments(self._settings) | {"request_timeout_ms": _GIVEN_UP_S * 1000},
            acks="all",
            enable_idempotence=enable_idempotence,
            linger_ms=_LINGER_MS,
            max_batch_size=_BATCH_BYTES,
            max_request_size=_LARGEST_BYTES,
        )
        try:
            await producer.start()
        except BaseException:
            self._stop(producer)
            raise
        return producer

    async def _words(self, error: KafkaError, content: NewDelivery) -> str:
        return f"{content.destination}: {await explained(error, self._settings)}"

    def _discard(self, producer: AIOKafkaProducer | None) -> None:
        """After any failure: an idempotent one that gave a message up has a gap in its sequence, and sends no more."""
        if producer is not None and producer is self._producer:
            self._producer = None
            self._stop(producer)

    def _stop(self, producer: AIOKafkaProducer) -> None:
        """In the background, because a producer stops only when its last messages were sent or given up."""
        task = asyncio.create_task(producer.stop())
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)


async def _hand_over(producer: AIOKafkaProducer, content: NewDelivery) -> "asyncio.Future[RecordMetadata]":
    """From its end on, the message is the producer's, which sends it until it is acknowledged or given up."""
    sent: asyncio.Future[RecordMetadata] = await producer.send(
        content.destination,
        value=content.body,
        key=content.key.encode() or None,
        headers=[(name, value.encode()) for name, value in content.headers.items()],
    )
    return sent
