"""A member of the consumer group."""

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

_ROOM = 0.5
"""The share of the queue that should be free: few large batches cost the broker and the store less than many small."""

_PATIENCE_S = 2.0
"""After so long any room will do, or else what comes by HTTP could keep all messages out."""


class Valve(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Pauses the consumer's partitions, also those that it is given meanwhile, and resumes them.

    A paused partition gives no messages, and its consumer stays a member of the group as long as it polls. `assigned`
    is how many partitions the group gave to this member; None while it is being decided.
    """

    def __init__(self, consumer: AIOKafkaConsumer, capacity: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._consumer = consumer
        self._room_wanted = max(1, round(capacity * _ROOM))
        self._log = get_logger("gateway.kafka")
        self._clock = clock
        self._closed_at = clock()
        self.closed = False
        self.assigned: int | None = None

    def set(self, room: int) -> None:
        """Open where there is room, closed where there is not."""
        if self.closed:
            waited = self._clock() - self._closed_at >= _PATIENCE_S
            if room >= (1 if waited else self._room_wanted):
                self._open(room)
        elif room < self._room_wanted:
            self._close()

    def _open(self, room: int) -> None:
        self.closed = False
        self._consumer.resume(*self._consumer.paused())
        self._log.debug("there is room in the queue: partitions resumed", room=room)

    def _close(self) -> None:
        self.closed = True
        self._closed_at = self._clock()
        self._consumer.pause(*self._consumer.assignment())
        self._log.debug("the queue is full or cannot be asked: partitions paused")

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:  # noqa: ARG002 the client passes it
        """Whoever gets them starts where the last commit was."""
        self.assigned = None

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Partitions come unpaused."""
        self.assigned = len(assigned)
        self._log.info("partitions given by the group", count=len(assigned))
        if self.closed:
            self._consumer.pause(*assigned)


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


_PAUSE_S = 5.0
_PATIENCE = 12
"""So many looks in vain, and the connections are made anew, from KAFKA_BOOTSTRAP_SERVERS."""


class TopicChangedError(KafkaError):  # type: ignore[misc]  # aiokafka ships no types
    """The topic has more partitions, which the group must share out: the client now and then forgets that.

    Or it was made again: then offsets of the one before mean nothing.
    """

    def __init__(self, name: str, before: Topic, seen: Topic) -> None:
        again = f"was made again, with {seen.partitions} partitions, and is taken from its beginning"
        more = f"has {seen.partitions} partitions now, after {before.partitions}"
        self.topic = seen
        self.is_another = _are_others(before, seen)
        super().__init__(f"the topic {name} {again if self.is_another else more}")


class Watch:
    """What was seen last, or was `known` before; `trouble` is what is wrong with it, in words."""

    def __init__(self, settings: Settings, broker: Broker, known: Topic | None) -> None:
        self._settings = settings
        self._name = settings.kafka_topic_input
        self._broker = broker
        self._in_vain = 0
        self._error: KafkaError | None = None
        self.topic = known
        self.trouble: str | None = None

    async def look(self) -> None:
        """Look once. Raises KafkaError."""
        before, seen = self.topic, await self._broker.topic(self._name)
        if before and seen and seen.id is None:  # not every broker of a cluster tells it
            seen = replace(seen, id=before.id)
        self.topic = seen or before
        self.trouble = None if seen else missing(self._name)
        if before and seen and (before.partitions != seen.partitions or _are_others(before, seen)):
            raise TopicChangedError(self._name, before, seen)

    def check(self) -> None:
        """Raise KafkaError where there is nothing to go on with."""
        if self._error:
            raise self._error

    async def run(self) -> None:
        """Look every five seconds, until cancelled or until `check` has something to raise."""
        while self._error is None:
            await asyncio.sleep(_PAUSE_S)
            try:
                await self.look()
                self._in_vain = 0
            except TopicChangedError as error:
                self._error = error
            except KafkaError as error:
                self._in_vain += 1
                self.trouble = f"the broker: {await explained(error, self._settings)}"
                self._error = error if self._in_vain >= _PATIENCE else None


@asynccontextmanager
async def watching(watch: Watch) -> AsyncIterator[None]:
    """Keep looking for as long as the context lasts."""
    task = asyncio.create_task(watch.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def missing(topic: str) -> str:
    """Words for a topic that is not there."""
    return f"the topic {topic} is not there, or this login may not see it"


def _are_others(before: Topic, seen: Topic) -> bool:
    """Whether the name is another topic's now, as far as both ids are known."""
    return None not in (before.id, seen.id) and before.id != seen.id


_INPUT_PARTITIONS = 6
"""Up to so many workers share the requests."""

_OUTPUT_PARTITIONS = 1
"""All outcomes in one order, and one write of the broker for those that end together."""

_REPLICAS = 3
_TIMEOUT_MS = 8000


async def make_topics(settings: Settings) -> Mapping[str, str]:
    """Make those that are missing; what the broker refuses, and why, which is logged too.

    Raises KafkaError where there is no broker.
    """
    admin = AIOKafkaAdminClient(**connection_arguments(settings))
    try:
        await admin.start()
        wanted = {settings.kafka_topic_input, settings.kafka_topic_output, settings.kafka_topic_poison}
        missing = wanted - set(await admin.list_topics())
        return await _make(admin, settings, sorted(missing)) if missing else {}
    finally:
        await admin.close()


async def _make(admin: AIOKafkaAdminClient, settings: Settings, names: list[str]) -> Mapping[str, str]:
    log, refused = get_logger("gateway.kafka"), dict[str, str]()
    replicas = min(_REPLICAS, len((await admin.describe_cluster())["brokers"]))
    partitions = {settings.kafka_topic_input: _INPUT_PARTITIONS}
    topics = [NewTopic(name, partitions.get(name, _OUTPUT_PARTITIONS), replicas) for name in names]
    response = await admin.create_topics(topics, timeout_ms=_TIMEOUT_MS)
    for name, code, *_ in response.topic_errors:
        error = for_code(code)
        if code == 0:
            log.info("topic made", topic=name, replicas=replicas)
        elif error is not TopicAlreadyExistsError:
            refused[name] = error.__name__
            log.warning("topic not made", topic=name, reason=error.__name__)
    return refused
