"""From the input topic into the queue."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from gateway.backlog import Backlog
from gateway.jobs.job import Failure
from gateway.jobs.store import Poison
from gateway.kafka.broker import Topic, open_broker
from gateway.kafka.cause import explained
from gateway.kafka.consumer import joined
from gateway.kafka.deposit import Deposit
from gateway.kafka.lag import measure_lag
from gateway.kafka.message import Message
from gateway.kafka.partitions import Partitions, Skipped, Taken
from gateway.kafka.reader import Arrival, MessageReader, printable
from gateway.kafka.topics import make_topics
from gateway.kafka.valve import Valve
from gateway.kafka.watch import TopicChangedError, Watch, missing, watching
from gateway.logs import get_logger
from gateway.metrics.instruments import Instruments
from gateway.pipelines.pipeline import Pipeline
from gateway.problems import Problem
from gateway.settings import Settings
from gateway.stores import Stores
from gateway.supervision import Heartbeat, reason_of

MESSAGES_PIPELINE = "body_masks"
"""What a message asks for."""
_POLL_S = 0.5
_BATCH = 100
_GATHER_S = 0.1
"""Between batches: a fetch, a transaction and a commit cost the same for one message as for a hundred."""
_LAG_LIFE_S = 2.0
"""Of paused partitions the broker must be asked, and the embedded one lists a partition's whole log to answer."""


class Ingestion:
    """Reads messages, keeps jobs, and only then commits: what was not kept is delivered again, and does no harm twice.

    `lag` is how many messages are behind, by topic/partition, of the partitions that are this member's; `note` says why
    it has none.
    """

    def __init__(self, settings: Settings, stores: Stores, pipeline: Pipeline, instruments: Instruments) -> None:
        self._settings = settings
        self._backlog = Backlog(stores.jobs, settings.queue_max_size)
        self._reader = MessageReader(settings, pipeline)
        self._deposit = Deposit(stores.jobs, stores.photos, self._reader, instruments.tasks, stores.poison)
        self._metrics = instruments.kafka
        self._log = get_logger("gateway.kafka")
        self.heartbeat = Heartbeat("ingestion")
        self.lag: Mapping[str, int] = MappingProxyType({})
        self.note: str | None = None
        self._lag_until = 0.0
        self._topic: Topic | None = None
        self._from_beginning = False

    async def run(self) -> None:
        """Take messages until cancelled; the group is left then. Raises SettingsError."""
        while True:
            try:
                await self._join()
            except TopicChangedError as error:
                self._log.warning(str(error))
                self._topic = error.topic
                self._from_beginning |= error.is_another
            except KafkaError as error:
                self.heartbeat.fail(f"the broker: {await explained(error, self._settings)}")
                await asyncio.sleep(self.heartbeat.pause_s)
            finally:
                self._forget()

    async def _join(self) -> None:
        """Be a member of the group until something is wrong. Raises KafkaError.

        A topic that was there is not made: whoever removed it may make it as it should be.
        """
        topic = self._settings.kafka_topic_input
        refused = {} if self._topic else await make_topics(self._settings)
        async with open_broker(self._settings, topic) as broker:
            watch = Watch(self._settings, broker, self._topic)
            await watch.look()
            if watch.trouble:
                why = f"; it cannot be made: {refused[topic]}" if topic in refused else ""
                raise KafkaError(f"{watch.trouble}{why}")
            wanted = watch.topic.partitions if watch.topic else 0
            async with watching(watch), joined(self._settings, wanted) as (consumer, valve):
                if self._from_beginning and consumer.assignment():
                    await consumer.seek_to_beginning(*consumer.assignment())
                self._topic, self._from_beginning = watch.topic, False
                await self._consume(Member(consumer, valve, Partitions(consumer, broker), watch))

    async def _consume(self, member: "Member") -> None:
        while True:
            member.watch.check()
            room = await self._room()
            member.valve.set(room)
            taken = await member.partitions.take(max(1, min(room, _BATCH)), _POLL_S)
            if taken.ends:
                await self._keep(taken)
                await self._commit(member.consumer, taken.ends)
                await asyncio.sleep(_GATHER_S)
            if taken.ends or time.monotonic() >= self._lag_until:
                self.lag = await measure_lag(member.consumer)
                self._lag_until = time.monotonic() + _LAG_LIFE_S
            self._show(member)

    async def _room(self) -> int:
        """Jobs that may still be queued for KAFKA_TENANT; none where the store cannot say."""
        try:
            return await self._backlog.room(self._settings.kafka_tenant)
        except Problem:
            return 0

    def _show(self, member: "Member") -> None:
        """In health, metrics and log: what is wrong, and what this member has."""
        topic, standing = self._settings.kafka_topic_input, member.partitions.standing
        troubles = [*map(str, standing), *([member.watch.trouble] if member.watch.trouble else [])]
        if troubles:
            self.heartbeat.fail("; ".join(troubles))
        else:
            self.heartbeat.beat()
        self._say(member.note)
        self._metrics.lags(self.lag)
        self._metrics.stands((one.partition.topic, one.partition.partition, one.seconds) for one in standing)
        is_there = member.watch.trouble != missing(topic)
        self._metrics.membership(topic, is_there=is_there, partitions=len(member.consumer.assignment()))

    def _say(self, note: str | None) -> None:
        if note != self.note:
            self._log.info(note or "this worker has partitions")
        self.note = note

    def _forget(self) -> None:
        """Outside of the group there is nothing to tell."""
        self.lag, self.note = MappingProxyType({}), None
        self._metrics.lags({})
        self._metrics.stands(())
        self._metrics.membership(self._settings.kafka_topic_input, is_there=False, partitions=0)

    async def _keep(self, taken: Taken) -> None:
        """Return when everything is kept; while a store is away, the messages wait here."""
        read = await asyncio.to_thread(self._read, taken.messages)
        arrivals = [one for one in read if isinstance(one, Arrival)]
        poison = [one for one in read if isinstance(one, Poison)] + [self._stepped_over(one) for one in taken.skipped]
        while True:
            try:
                await self._deposit.keep(arrivals, poison)
            except Problem as problem:
                self.heartbeat.fail(reason_of(problem))
                await asyncio.sleep(self.heartbeat.pause_s)
            else:
                break
        self._log.info("messages taken", jobs=len(arrivals), poison=len(poison))

    def _read(self, messages: Sequence[Message]) -> list[Arrival | Poison]:
        return [self._read_one(message) for message in messages]

    def _read_one(self, message: Message) -> Arrival | Poison:
        """A message that brings out a bug must not hold up those behind it."""
        try:
            return self._reader.read(message)
        except Exception as error:  # noqa: BLE001
            self._log.error("unexpected error", exc_info=error, origin=message.origin)
            return self._reader.poison(
                message, Failure("internal_error", "An unexpected error; the log has the details.")
            )

    def _stepped_over(self, skipped: Skipped) -> Poison:
        """Poison of what nobody can read."""
        partition, one = skipped.partition, skipped.unreadable
        message = Message(partition.topic, partition.partition, one.offset, 0, one.key, one.value)
        several = f" (offsets {one.offset} to {one.end - 1})" if one.end - one.offset > 1 else ""
        detail = printable(f"Unreadable{several}: {one.reason}")
        self._metrics.skipped(partition.topic, 1)
        self._log.error("a record that cannot be read is stepped over", origin=message.origin, reason=detail)
        return self._reader.poison(message, Failure("message_unreadable", detail))

    async def _commit(self, consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]) -> None:
        """Commit what was kept, of the partitions that are still this member's."""
        mine = consumer.assignment()
        offsets = {partition: end for partition, end in ends.items() if partition in mine}
        try:
            if offsets:
                await consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError) as error:
            self._log.info(
                "offsets not committed, the group changed; others will see these messages again", why=str(error)
            )


@dataclass(frozen=True)
class Member:
    """This process as a member of the group."""

    consumer: AIOKafkaConsumer
    valve: Valve
    partitions: Partitions
    watch: Watch

    @property
    def note(self) -> str | None:
        """Why there is nothing to do, where there is nothing wrong."""
        if self.valve.assigned is None:
            return "the group shares out its partitions"
        if self.valve.assigned or self.watch.trouble:
            return None
        partitions = self.watch.topic.partitions if self.watch.topic else 0
        return f"this worker has no partition: the topic has {partitions} for all members of the group"
