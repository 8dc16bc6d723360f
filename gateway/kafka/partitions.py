"""Takes messages partition by partition, so that an unreadable record holds up no other partition."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    CorruptRecordException,
    IllegalStateError,
    KafkaError,
    RecordTooLargeError,
    UnsupportedCodecError,
)

from gateway.jobs.job import timestamp
from gateway.kafka.batches import Reading, Record, Unreadable, read_on
from gateway.kafka.broker import Broker
from gateway.kafka.messages import Message
from gateway.logs import get_logger
from gateway.retry import Backoff

_LOOK_S = 0.05
"""The pause before looking again for fetched records, while there are none."""
_TRIES = 3
"""How often a record is fetched and read before it counts as unreadable: it may have been damaged on its way."""
_BACKOFF = Backoff(0.5, 10.0)
_OF_RECORDS = (CorruptRecordException, RecordTooLargeError, UnsupportedCodecError)
"""The client's errors about the content of a partition; the others are about the broker or the group."""


@dataclass
class Standing:
    """A partition that stands still at an offset, and why."""

    partition: TopicPartition
    offset: int
    reason: str
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    tries: int = 0
    again_at: float = 0.0

    def __str__(self) -> str:
        name = f"{self.partition.topic}/{self.partition.partition}"
        return f"{name} stands still at offset {self.offset} since {timestamp(self.since)}: {self.reason}"

    @property
    def seconds(self) -> float:
        """How long it has stood still."""
        return (datetime.now(UTC) - self.since).total_seconds()

    def fail(self, reason: str) -> None:
        """Note that another try failed."""
        self.tries += 1
        self.reason = reason
        self.again_at = time.monotonic() + _BACKOFF.pause_s(self.tries)


@dataclass
class Taken:
    """Messages partition by partition, unreadable records that are stepped over, and each partition's next offset."""

    messages: list[Message] = field(default_factory=list)
    skipped: list[tuple[TopicPartition, Unreadable]] = field(default_factory=list)
    ends: dict[TopicPartition, int] = field(default_factory=dict)


class Partitions:
    """The consumer's partitions, each read by itself; `broker` gives the bytes that the consumer cannot read."""

    def __init__(self, consumer: AIOKafkaConsumer, broker: Broker) -> None:
        self._consumer = consumer
        self._broker = broker
        self._standing: dict[TopicPartition, Standing] = {}
        self._first = 0
        self._log = get_logger("gateway.kafka")

    @property
    def standing(self) -> Sequence[Standing]:
        """Those that stand still."""
        return tuple(self._standing.values())

    async def take(self, limit: int, patience_s: float) -> Taken:
        """About `limit` messages, or none after `patience_s`. Raises KafkaError if the broker or the group fails."""
        taken, until = Taken(), time.monotonic() + patience_s
        while True:
            for partition in self._in_turn():
                if (room := limit - len(taken.messages) - len(taken.skipped)) > 0:
                    await self._take_from(partition, room, taken)
            if taken.ends or time.monotonic() >= until:
                return taken
            await asyncio.sleep(_LOOK_S)

    def _in_turn(self) -> Iterator[TopicPartition]:
        """This member's partitions, starting with another one each time."""
        mine = sorted(self._consumer.assignment())
        for gone in self._standing.keys() - set(mine):
            del self._standing[gone]
        self._first = (self._first + 1) % max(1, len(mine))
        yield from mine[self._first :]
        yield from mine[: self._first]

    async def _take_from(self, partition: TopicPartition, limit: int, taken: Taken) -> None:
        standing = self._standing.get(partition)
        if standing and time.monotonic() < standing.again_at:
            return
        try:
            if standing and standing.tries >= _TRIES:
                await self._read_raw(standing, limit, taken)
            else:
                await self._read(partition, limit, taken)
        except IllegalStateError:
            self._standing.pop(partition, None)  # the partition went to another member meanwhile

    async def _read(self, partition: TopicPartition, limit: int, taken: Taken) -> None:
        """Read with the client. What it cannot read is tried again later, from the same offset."""
        try:
            records = (await self._consumer.getmany(partition, max_records=limit)).get(partition, [])
        except RecordTooLargeError as error:  # the client has stepped over it
            offset = await self._consumer.position(partition) - 1
            self._consumer.seek(partition, offset)
            self._fail(partition, offset, error)
        except Exception as error:
            if isinstance(error, KafkaError) and not isinstance(error, _OF_RECORDS):
                raise
            self._fail(partition, await self._consumer.position(partition), error)
        else:
            if records:
                self._standing.pop(partition, None)
                for record in records:
                    headers = {name: value or b"" for name, value in record.headers}
                    taken.messages.append(_message(partition, record, headers))
                taken.ends[partition] = records[-1].offset + 1

    def _fail(self, partition: TopicPartition, offset: int, error: Exception) -> None:
        reason = f"{type(error).__name__}: {error}"
        standing = self._standing.get(partition)
        if standing is None or standing.offset != offset:
            standing = self._standing[partition] = Standing(partition, offset, reason)
            self._log.warning(f"a partition stands still: {standing}")
        standing.fail(reason)

    async def _read_raw(self, standing: Standing, limit: int, taken: Taken) -> None:
        """Read without the client: take the readable records, and step over the unreadable ones."""
        partition = standing.partition
        if partition in self._consumer.paused():
            return
        try:
            fetched = await self._broker.fetch(partition, standing.offset)
        except KafkaError as error:
            standing.fail(f"{standing.reason.partition('; ')[0]}; it cannot be stepped over: {error}")
            return
        reading = await asyncio.to_thread(
            read_on, fetched.data, standing.offset, fetched.aborted, fetched.until, limit
        )  # a large batch takes long to unpack
        if partition in self._consumer.assignment():
            self._step(standing, reading, taken)

    def _step(self, standing: Standing, reading: Reading, taken: Taken) -> None:
        partition = standing.partition
        if reading.end <= standing.offset:
            standing.fail("the broker shows nothing there")
            return
        self._consumer.seek(partition, reading.end)
        taken.messages += [_message(partition, record, record.headers) for record in reading.records]
        taken.skipped += [(partition, one) for one in reading.unreadable]
        taken.ends[partition] = standing.offset = reading.end
        if reading.is_all:
            self._standing.pop(partition, None)


def _message(partition: TopicPartition, record: Record, headers: Mapping[str, bytes]) -> Message:
    """The message of a Record, or of the client's own record, which has the same members except for the headers."""
    return Message(
        partition.topic, partition.partition, record.offset, record.timestamp, record.key, record.value, headers
    )


async def measure_lag(consumer: AIOKafkaConsumer) -> Mapping[str, int]:
    """How many messages are behind, by topic/partition, of the partitions whose end is known. Raises KafkaError.

    A fetch tells the end. Paused partitions are not fetched, so the broker is asked for theirs.
    """
    paused = consumer.paused()
    asked = await consumer.end_offsets(paused) if paused else {}
    ends = {partition: _end(consumer, partition, asked) for partition in consumer.assignment()}
    return {
        f"{partition.topic}/{partition.partition}": max(0, end - await consumer.position(partition))
        for partition, end in ends.items()
        if end is not None and partition in consumer.assignment()
    }


def _end(consumer: AIOKafkaConsumer, partition: TopicPartition, asked: Mapping[TopicPartition, int]) -> int | None:
    known = [end for end in (consumer.highwater(partition), asked.get(partition)) if end is not None]
    return max(known, default=None)
