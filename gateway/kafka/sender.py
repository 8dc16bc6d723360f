"""Sends messages: outcomes of jobs and dead letters."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError, MessageSizeTooLargeError, RecordListTooLargeError
from aiokafka.structs import RecordMetadata

from gateway.jobs.outbox import Delivery, DeliveryError, OutboxMessage
from gateway.kafka.broker import explained
from gateway.kafka.connection import REQUEST_TIMEOUT_S, connection_arguments
from gateway.logs import get_logger
from gateway.metrics.instruments import KafkaMetrics
from gateway.settings import Settings, SettingsError
from gateway.timing import Backoff

_TIMEOUT_S = 8.0
"""The time to connect and to find the topic. A message that the producer has is given up only by the producer."""
_LARGEST_BYTES = 64 * 1024 * 1024
"""The broker's own limit decides; on requests of 100 MB and more it closes the connection."""
_BATCH_BYTES = 16 * 1024
"""Smaller messages travel together; a broker that refuses such a batch may accept each of them alone."""
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
_GIVEN_UP_S = 30
"""How long the producer waits for a partition's leader; a new one is found within 10 s of a broker's death."""
_LINGER_MS = 5
_BACKOFF = Backoff(1.0, 30.0)
_LONGEST_KEY = 1024
_LONGEST_HEADER = 1024
_LEFT_OUT = "mask_paths: too large for a message; GET /v1/jobs/{job_id} has them"


@asynccontextmanager
async def open_message_sender(settings: Settings, metrics: KafkaMetrics) -> AsyncIterator["MessageSender"]:
    """A sender of deliveries of kind `message`, for as long as the context lasts. Raises SettingsError."""
    connection_arguments(settings)
    sender = MessageSender(settings, metrics)
    try:
        yield sender
    finally:
        await sender.close()


class MessageSender:
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
        """Send and wait until all replicas have it, or the producer gives it up. Raises DeliveryError.

        An idempotent producer never gives up a message because an answer is missing: it goes on sending it, and
        `trouble` says so. With brokers that have no such producers, a failed message may have been sent.
        """
        try:
            await self._send(delivery.content)
        except _TOO_LARGE as error:
            await self._send_short(delivery.content, error)

    async def _send_short(self, content: OutboxMessage, error: KafkaError) -> None:
        """Send it without what makes it large. Raises DeliveryError, a lasting one if that is no help."""
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

    async def _send(self, content: OutboxMessage) -> None:
        """Raises DeliveryError, and the client's errors for messages that are too large."""
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
            words = await explained(error, self._settings)
            raise DeliveryError(f"{content.destination}: {words}") from error
        except TimeoutError as error:
            raise DeliveryError(f"{content.destination}: not acknowledged within {_TIMEOUT_S:g} s") from error

    async def _answered(self, sent: "asyncio.Future[RecordMetadata]", topic: str) -> None:
        """Wait for the broker's answer without limit: the producer goes on, so a second attempt would send it twice."""
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
        """Names the topics whose broker does not answer."""
        names = ", ".join(sorted(set(self._silent)))
        return f"{names}: the broker has not acknowledged messages for {_GIVEN_UP_S} s" if names else None

    def delay_s(self, attempts: int) -> float | None:
        """1, 2, 4 … at most 30 s, and never None: an outcome must be sent."""
        return _BACKOFF.pause_s(attempts)

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
        """An idempotent producer, whose messages come once even if they are sent twice, if the broker knows such ones.

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

    def _discard(self, producer: AIOKafkaProducer | None) -> None:
        """Replace it after any failure: an idempotent producer that gave up a message cannot send any more."""
        if producer is not None and producer is self._producer:
            self._producer = None
            self._stop(producer)

    def _stop(self, producer: AIOKafkaProducer) -> None:
        """Stop it in the background, because that waits until its last messages were sent or given up."""
        task = asyncio.create_task(producer.stop())
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)


async def _hand_over(producer: AIOKafkaProducer, content: OutboxMessage) -> "asyncio.Future[RecordMetadata]":
    """Give the message to the producer, which sends it until it is acknowledged or given up."""
    sent: asyncio.Future[RecordMetadata] = await producer.send(
        content.destination,
        value=content.body,
        key=content.key.encode() or None,
        headers=[(name, value.encode()) for name, value in content.headers.items()],
    )
    return sent


def shortened(content: OutboxMessage) -> OutboxMessage | None:
    """The message without what makes it large; None if that is no help.

    A dead letter loses its value, but gets its size and SHA-256; an outcome loses its links.
    """
    headers = {name: value[:_LONGEST_HEADER] for name, value in content.headers.items()}
    key = content.key if len(content.key) <= _LONGEST_KEY else hashlib.sha256(content.key.encode()).hexdigest()
    if "origin" in headers:
        facts = {"value_bytes": str(len(content.body)), "value_sha256": hashlib.sha256(content.body).hexdigest()}
        return replace(content, key=key, body=_reference(headers["origin"], facts), headers={**headers, **facts})
    outcome = _outcome(content.body)
    if outcome is None:
        return None
    return replace(
        content,
        key=key,
        body=_json({**outcome, "mask_paths": {}, "left_out": _LEFT_OUT.format(job_id=headers.get("job_id"))}),
        headers=headers,
    )


def _reference(origin: str, facts: Mapping[str, str]) -> bytes:
    topic, partition, offset = origin.rsplit("/", 2)
    return _json({"topic": topic, "partition": int(partition), "offset": int(offset), **facts})


def _outcome(body: bytes) -> dict[str, object] | None:
    """The members of an outcome that has links; None for anything else."""
    try:
        members = json.loads(body)
    except ValueError:
        return None
    return members if isinstance(members, dict) and members.get("mask_paths") else None


def _json(members: Mapping[str, object]) -> bytes:
    return json.dumps(members, separators=(",", ":")).encode()
