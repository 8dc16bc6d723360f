"""This process as a member of the consumer group: its consumer, flow control, and a watch on the input topic."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from gateway.kafka.broker import Broker, Topic, explained
from gateway.kafka.connection import REQUEST_TIMEOUT_S, connection_arguments
from gateway.logs import get_logger
from gateway.settings import Settings

_ROOM_SHARE = 0.5
"""The share of the queue that must be free: a few large batches cost broker and store less than many small ones."""
_LONGEST_PAUSE_S = 2.0
"""After this time any free place is enough; otherwise requests over HTTP could keep all messages out."""

SESSION_TIMEOUT_MS = 6000
_HEARTBEAT_MS = 2000
_FETCH_BYTES = 8 * 1024 * 1024
_PARTITION_BYTES = 1024 * 1024
"""What is fetched ahead. A larger message still comes whole, alone in its answer (KIP-74)."""
_JOIN_S = 60.0
"""Half of it is the time in which the other members must join again, or else the group goes on without them."""

_WATCH_PAUSE_S = 5.0
_MOST_FAILURES = 12
"""After so many looks that failed, the connections are made anew, from KAFKA_BOOTSTRAP_SERVERS."""

_INPUT_PARTITIONS = 6
"""The most workers that can share the requests."""
_OUTPUT_PARTITIONS = 1
"""All outcomes are in one order, and those that end together need one write of the broker."""
_REPLICAS = 3
_TIMEOUT_MS = 8000

_log = get_logger("gateway.kafka")


@asynccontextmanager
async def joined(settings: Settings, partitions: int) -> AsyncIterator[tuple[AIOKafkaConsumer, "FlowControl"]]:
    """A consumer of the input topic that is a member of its group, and its flow control; it leaves at the end.

    Raises KafkaError, also if the brokers do not know of so many partitions yet: as the group's leader this member
    would share out too few, and not learn of the others for minutes.
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
    flow = FlowControl(consumer, settings.queue_max_size)
    consumer.subscribe([settings.kafka_topic_input], listener=flow)
    try:
        with anyio.move_on_after(_JOIN_S) as join:
            await consumer.start()
        if join.cancelled_caught:
            raise KafkaError(f"the group {settings.kafka_consumer_group} gave no partitions within {_JOIN_S:g} s")
        known = len(consumer.partitions_for_topic(settings.kafka_topic_input) or ())
        if known < partitions:
            raise KafkaError(f"a broker knows of {known} of {partitions} partitions of {settings.kafka_topic_input}")
        yield consumer, flow
    finally:
        with anyio.move_on_after(REQUEST_TIMEOUT_S + 1, shield=True):
            await consumer.stop()


class FlowControl(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Pauses the consumer's partitions while the queue is full, and resumes them; new partitions too.

    A paused partition gives no messages, and its consumer stays a member of the group as long as it polls. `assigned`
    is how many partitions the group gave to this member; None while the group shares them out.
    """

    def __init__(self, consumer: AIOKafkaConsumer, capacity: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._consumer = consumer
        self._room_wanted = max(1, round(capacity * _ROOM_SHARE))
        self._clock = clock
        self._paused_at: float | None = None
        self.assigned: int | None = None

    def update(self, room: int) -> None:
        """Pause or resume, as there is room in the queue or not."""
        if self._paused_at is None:
            if room < self._room_wanted:
                self._paused_at = self._clock()
                self._consumer.pause(*self._consumer.assignment())
                _log.debug("the queue is full or cannot be asked: partitions paused")
        elif room >= (1 if self._clock() - self._paused_at >= _LONGEST_PAUSE_S else self._room_wanted):
            self._paused_at = None
            self._consumer.resume(*self._consumer.paused())
            _log.debug("there is room in the queue: partitions resumed", room=room)

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:  # noqa: ARG002 the client passes it
        """The next member starts from the last commit, so there is nothing to do."""
        self.assigned = None

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """New partitions are not paused: pause them, if need be."""
        self.assigned = len(assigned)
        _log.info("partitions given by the group", count=len(assigned))
        if self._paused_at is not None:
            self._consumer.pause(*assigned)


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


async def make_topics(settings: Settings) -> Mapping[str, str]:
    """Make the missing topics; return those that the broker refuses, with its reason, which is logged too.

    Raises KafkaError if there is no broker.
    """
    admin = AIOKafkaAdminClient(**connection_arguments(settings))
    try:
        await admin.start()
        wanted = {settings.kafka_topic_input, settings.kafka_topic_output, settings.kafka_topic_poison}
        missing_ones = wanted - set(await admin.list_topics())
        return await _make(admin, settings, sorted(missing_ones)) if missing_ones else {}
    finally:
        await admin.close()


async def _make(admin: AIOKafkaAdminClient, settings: Settings, names: list[str]) -> Mapping[str, str]:
    refused = dict[str, str]()
    replicas = min(_REPLICAS, len((await admin.describe_cluster())["brokers"]))
    partitions = {settings.kafka_topic_input: _INPUT_PARTITIONS}
    topics = [NewTopic(name, partitions.get(name, _OUTPUT_PARTITIONS), replicas) for name in names]
    response = await admin.create_topics(topics, timeout_ms=_TIMEOUT_MS)
    for name, code, *_ in response.topic_errors:
        error = for_code(code)
        if code == 0:
            _log.info("topic made", topic=name, replicas=replicas)
        elif error is not TopicAlreadyExistsError:
            refused[name] = error.__name__
            _log.warning("topic not made", topic=name, reason=error.__name__)
    return refused
