"""Watches the input topic: whether it is there, with how many partitions, and whether it was made again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from aiokafka.errors import KafkaError

from gateway.kafka.broker import Broker, Topic
from gateway.kafka.cause import explained
from gateway.settings import Settings

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
