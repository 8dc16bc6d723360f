"""Takes messages from the input topic into the queue, and watches that topic."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from gateway.background import Heartbeat, reason_of
from gateway.errors import Problem
from gateway.jobs.store import BadMessage
from gateway.kafka.batches import Unreadable
from gateway.kafka.broker import Broker, Topic, explained, open_broker
from gateway.kafka.consumer import FlowControl, Partitions, Taken, joined, measure_lag
from gateway.kafka.messages import Arrival, ArrivalStore, Message, MessageReader, without_control_characters
from gateway.kafka.topics import make_topics
from gateway.limits.admission import Backlog
from gateway.logs import get_logger
from gateway.metrics.instruments import Instruments
from gateway.pipelines.outputs import Failure
from gateway.pipelines.registry import Pipeline
from gateway.settings import Settings
from gateway.stores import Stores

MESSAGES_PIPELINE = "body_masks"
"""The pipeline of all messages."""
_POLL_S = 0.5
_BATCH = 100
_GATHER_S = 0.1
"""The pause between batches: a fetch, a transaction and a commit cost the same for one message as for a hundred."""
_LAG_LIFE_S = 2.0
"""How long a measured lag is good: the embedded broker lists the whole log of a paused partition to answer."""
_WATCH_PAUSE_S = 5.0
_MOST_FAILURES = 12
"""After so many looks that failed, the connections are made anew, from KAFKA_BOOTSTRAP_SERVERS."""

_log = get_logger("gateway.kafka")


class Ingestion:
    """Reads messages, keeps their jobs, and only then commits: a message that comes again does no harm.

    `lag` is how many messages are behind, by topic/partition, of this member's partitions; `note` says why it has none.
    """

    def __init__(self, settings: Settings, stores: Stores, pipeline: Pipeline, instruments: Instruments) -> None:
        self._settings = settings
        self._backlog = Backlog(stores.jobs, settings.queue_max_size)
        self._reader = MessageReader(settings, pipeline)
        self._arrivals = ArrivalStore(stores.jobs, stores.photos, self._reader, instruments.tasks, stores.dead_letters)
        self._metrics = instruments.kafka
        self.heartbeat = Heartbeat("ingestion")
        self.lag: Mapping[str, int] = MappingProxyType({})
        self.note: str | None = None
        self._lag_until = 0.0
        self._topic: Topic | None = None
        self._from_beginning = False

    async def run(self) -> None:
        """Take messages until cancelled; then leave the group. Raises SettingsError."""
        while True:
            try:
                await self._join()
            except TopicChangedError as error:
                _log.warning(str(error))
                self._topic = error.topic
                self._from_beginning |= error.is_another
            except KafkaError as error:
                self.heartbeat.fail(f"the broker: {await explained(error, self._settings)}")
                await asyncio.sleep(self.heartbeat.pause_s)
            finally:
                self._forget()

    async def _join(self) -> None:
        """Be a member of the group until something is wrong. Raises KafkaError.

        A topic that existed before is not made again: whoever removed it may want to make it.
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
            async with watch.running(), joined(self._settings, wanted) as (consumer, flow):
                if self._from_beginning and consumer.assignment():
                    await consumer.seek_to_beginning(*consumer.assignment())
                self._topic, self._from_beginning = watch.topic, False
                await self._consume(Member(consumer, flow, Partitions(consumer, broker), watch))

    async def _consume(self, member: "Member") -> None:
        while True:
            member.watch.check()
            room = await self._room()
            member.flow.update(room)
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
        """How many more jobs may be queued for KAFKA_TENANT; none if the store cannot say."""
        try:
            return await self._backlog.room(self._settings.kafka_tenant)
        except Problem:
            return 0

    def _show(self, member: "Member") -> None:
        """Tell health, metrics and log what is wrong, and what this member has."""
        topic, standing = self._settings.kafka_topic_input, member.partitions.standing
        troubles = [*map(str, standing), *([member.watch.trouble] if member.watch.trouble else [])]
        if troubles:
            self.heartbeat.fail("; ".join(troubles))
        else:
            self.heartbeat.beat()
        if member.note != self.note:
            _log.info(member.note or "this worker has partitions")
        self.note = member.note
        self._metrics.lags(self.lag)
        self._metrics.stands((one.partition.topic, one.partition.partition, one.seconds) for one in standing)
        is_there = member.watch.trouble != missing(topic)
        self._metrics.membership(topic, is_there=is_there, partitions=len(member.consumer.assignment()))

    def _forget(self) -> None:
        """Outside of the group there is nothing to show."""
        self.lag, self.note = MappingProxyType({}), None
        self._metrics.lags({})
        self._metrics.stands(())
        self._metrics.membership(self._settings.kafka_topic_input, is_there=False, partitions=0)

    async def _keep(self, taken: Taken) -> None:
        """Return when everything is kept; while a store is away, the messages wait here."""
        read = await asyncio.to_thread(lambda: [self._read(message) for message in taken.messages])
        arrivals = [one for one in read if isinstance(one, Arrival)]
        unreadable = [self._unreadable(partition, one) for partition, one in taken.skipped]
        dead_letters = [*(one for one in read if isinstance(one, BadMessage)), *unreadable]
        while True:
            try:
                await self._arrivals.keep(arrivals, dead_letters)
            except Problem as problem:
                self.heartbeat.fail(reason_of(problem))
                await asyncio.sleep(self.heartbeat.pause_s)
            else:
                break
        _log.info("messages taken", jobs=len(arrivals), poison=len(dead_letters))

    def _read(self, message: Message) -> Arrival | BadMessage:
        """A message that triggers a bug must not hold up those behind it."""
        try:
            return self._reader.read(message)
        except Exception as error:  # noqa: BLE001
            _log.error("unexpected error", exc_info=error, origin=message.origin)
            failure = Failure("internal_error", "An unexpected error; the log has the details.")
            return self._reader.dead_letter(message, failure)

    def _unreadable(self, partition: TopicPartition, one: Unreadable) -> BadMessage:
        message = Message(partition.topic, partition.partition, one.offset, 0, one.key, one.value)
        several = f" (offsets {one.offset} to {one.end - 1})" if one.end - one.offset > 1 else ""
        detail = without_control_characters(f"Unreadable{several}: {one.reason}")
        self._metrics.skipped(partition.topic, 1)
        _log.error("a record that cannot be read is stepped over", origin=message.origin, reason=detail)
        return self._reader.dead_letter(message, Failure("message_unreadable", detail))

    async def _commit(self, consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]) -> None:
        """Commit what was kept, of the partitions that are still this member's."""
        mine = consumer.assignment()
        offsets = {partition: end for partition, end in ends.items() if partition in mine}
        try:
            if offsets:
                await consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError) as error:
            _log.info("offsets not committed, the group changed; others will see these messages again", why=str(error))


class TopicChangedError(KafkaError):  # type: ignore[misc]  # aiokafka ships no types
    """The topic has more partitions, which the group must share out: the client sometimes does not notice.

    Or it was made again: then the offsets of the topic before mean nothing.
    """

    def __init__(self, name: str, before: Topic, seen: Topic) -> None:
        again = f"was made again, with {seen.partitions} partitions, and is taken from its beginning"
        more = f"has {seen.partitions} partitions now, after {before.partitions}"
        self.topic = seen
        self.is_another = _are_others(before, seen)
        super().__init__(f"the topic {name} {again if self.is_another else more}")


class Watch:
    """Watches whether the input topic is there, with how many partitions, and whether it was made again.

    `topic` is what was seen last, or what was known before; `trouble` says what is wrong with it.
    """

    def __init__(self, settings: Settings, broker: Broker, known: Topic | None) -> None:
        self._settings = settings
        self._name = settings.kafka_topic_input
        self._broker = broker
        self._failures = 0
        self._error: KafkaError | None = None
        self.topic = known
        self.trouble: str | None = None

    async def look(self) -> None:
        """Look once. Raises KafkaError."""
        before, seen = self.topic, await self._broker.topic(self._name)
        if before and seen and seen.id is None:  # not every broker of a cluster tells the id
            seen = replace(seen, id=before.id)
        self.topic = seen or before
        self.trouble = None if seen else missing(self._name)
        if before and seen and (before.partitions != seen.partitions or _are_others(before, seen)):
            raise TopicChangedError(self._name, before, seen)

    def check(self) -> None:
        """Raise the KafkaError after which the group must be joined again, if there was one."""
        if self._error:
            raise self._error

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look every five seconds for as long as the context lasts, or until `check` has something to raise."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _run(self) -> None:
        while self._error is None:
            await asyncio.sleep(_WATCH_PAUSE_S)
            try:
                await self.look()
                self._failures = 0
            except TopicChangedError as error:
                self._error = error
            except KafkaError as error:
                self._failures += 1
                self.trouble = f"the broker: {await explained(error, self._settings)}"
                self._error = error if self._failures >= _MOST_FAILURES else None


def missing(topic: str) -> str:
    """The words for a topic that is not there."""
    return f"the topic {topic} is not there, or this login may not see it"


def _are_others(before: Topic, seen: Topic) -> bool:
    """Whether another topic has the name now, as far as both ids are known."""
    return None not in (before.id, seen.id) and before.id != seen.id


@dataclass(frozen=True)
class Member:
    """This process as a member of the group."""

    consumer: AIOKafkaConsumer
    flow: FlowControl
    partitions: Partitions
    watch: Watch

    @property
    def note(self) -> str | None:
        """Why there is nothing to do although nothing is wrong."""
        if self.flow.assigned is None:
            return "the group shares out its partitions"
        if self.flow.assigned or self.watch.trouble:
            return None
        partitions = self.watch.topic.partitions if self.watch.topic else 0
        return f"this worker has no partition: the topic has {partitions} for all members of the group"
