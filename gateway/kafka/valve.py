"""Stops the flow of messages while the queue is full."""

from collections.abc import Collection

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from gateway.logs import get_logger

_ROOM = 0.5
"""The share of the queue that must be free: a few large batches cost the broker and the store less than many small."""


class Valve(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Pauses the consumer's partitions, also those that it is given meanwhile, and resumes them.

    A paused partition gives no messages, and its consumer stays a member of the group as long as it polls.
    """

    def __init__(self, consumer: AIOKafkaConsumer, capacity: int) -> None:
        self._consumer = consumer
        self._room_wanted = max(1, round(capacity * _ROOM))
        self._log = get_logger("gateway.kafka")
        self.closed = False

    def set(self, room: int) -> None:
        """Open where there is room, closed where there is not."""
        if not self.closed and room < self._room_wanted:
            self.closed = True
            self._consumer.pause(*self._consumer.assignment())
            self._log.debug("the queue is full or cannot be asked: partitions paused")
        elif self.closed and room >= self._room_wanted:
            self.closed = False
            self._consumer.resume(*self._consumer.paused())
            self._log.debug("there is room in the queue: partitions resumed", room=room)

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Whoever gets them starts where the last commit was."""

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Partitions come unpaused."""
        if self.closed:
            self._consumer.pause(*assigned)
