"""From the input topic into the queue."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from gateway.jobs.job import Failure
from gateway.jobs.store import Poison
from gateway.kafka.consumer import joined
from gateway.kafka.deposit import Deposit
from gateway.kafka.lag import measure_lag
from gateway.kafka.message import Message
from gateway.kafka.reader import Arrival, MessageReader
from gateway.kafka.topics import make_topics
from gateway.kafka.valve import Valve
from gateway.logs import get_logger
from gateway.pipelines.pipeline import Pipeline
from gateway.problems import Problem
from gateway.pulse import Pulse
from gateway.settings import Settings
from gateway.stores import Stores

MESSAGES_PIPELINE = "body_masks"
"""What a message asks for."""
_POLL_MS = 500
_BATCH = 100
_GATHER_S = 0.1
"""Between batches: a fetch, a transaction and a commit cost the same for one message as for a hundred."""
_LAG_LIFE_S = 2.0
"""Of paused partitions the broker must be asked, and the embedded one lists a partition's whole log to answer."""

_Records = Mapping[TopicPartition, Sequence[ConsumerRecord]]


class Ingestion:
    """Reads messages, keeps jobs, and only then commits: what was not kept is delivered again, and does no harm twice.

    `lag` is how many messages are behind, by topic/partition, of the partitions that are this member's.
    """

    def __init__(self, settings: Settings, stores: Stores, pipeline: Pipeline) -> None:
        self._settings = settings
        self._jobs = stores.jobs
        self._reader = MessageReader(settings, pipeline)
        self._deposit = Deposit(stores.jobs, stores.photos, self._reader)
        self._log = get_logger("gateway.kafka")
        self.pulse = Pulse("ingestion")
        self.lag: Mapping[str, int] = MappingProxyType({})
        self._lag_until = 0.0

    async def run(self) -> None:
        """Take messages until cancelled; the group is left then. Raises SettingsError."""
        while True:
            try:
                await make_topics(self._settings)
                async with joined(self._settings) as (consumer, valve):
                    await self._consume(consumer, valve)
            except KafkaError as error:
                self.pulse.fail(f"the broker: {error}")
                await asyncio.sleep(self.pulse.pause_s)
            finally:
                self.lag = MappingProxyType({})

    async def _consume(self, consumer: AIOKafkaConsumer, valve: Valve) -> None:
        while True:
            room = await self._room()
            valve.set(room)
            records = await consumer.getmany(timeout_ms=_POLL_MS, max_records=max(1, min(room, _BATCH)))
            if records:
                await self._keep(records)
                await self._commit(consumer, records)
                await asyncio.sleep(_GATHER_S)
            if records or time.monotonic() >= self._lag_until:
                self.lag = await measure_lag(consumer)
                self._lag_until = time.monotonic() + _LAG_LIFE_S
            self.pulse.beat()

    async def _room(self) -> int:
        """Jobs that may still be queued; none where the store cannot say."""
        try:
            counts = await self._jobs.counts()
        except Problem:
            return 0
        return self._settings.queue_max_size - counts.queued

    async def _keep(self, records: _Records) -> None:
        """Return when everything is kept; while a store is away, the messages wait here."""
        read = await asyncio.to_thread(self._read, records)
        arrivals = [one for one in read if isinstance(one, Arrival)]
        poison = [one for one in read if isinstance(one, Poison)]
        while True:
            try:
                await self._deposit.keep(arrivals, poison)
            except Problem as problem:
                self.pulse.fail(str(problem))
                await asyncio.sleep(self.pulse.pause_s)
            else:
                break
        self._log.info("messages taken", jobs=len(arrivals), poison=len(poison))

    def _read(self, records: _Records) -> list[Arrival | Poison]:
        return [self._read_one(_message(record)) for batch in records.values() for record in batch]

    def _read_one(self, message: Message) -> Arrival | Poison:
        """A message that brings out a bug must not hold up those behind it."""
        try:
            return self._reader.read(message)
        except Exception as error:  # noqa: BLE001
            self._log.error("unexpected error", exc_info=error, origin=message.origin)
            return self._reader.poison(
                message, Failure("internal_error", "An unexpected error; the log has the details.")
            )

    async def _commit(self, consumer: AIOKafkaConsumer, records: _Records) -> None:
        """Commit what was kept, of the partitions that are still this member's."""
        mine = consumer.assignment()
        offsets = {partition: batch[-1].offset + 1 for partition, batch in records.items() if partition in mine}
        try:
            if offsets:
                await consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError) as error:
            self._log.info(
                "offsets not committed, the group changed; others will see these messages again", why=str(error)
            )


def _message(record: ConsumerRecord) -> Message:
    return Message(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp=record.timestamp,
        key=record.key,
        value=record.value,
        headers={name: value or b"" for name, value in record.headers},
    )
