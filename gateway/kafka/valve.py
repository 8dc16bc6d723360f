"""Stops the flow of messages while the queue is full."""

import time
from collections.abc import Callable, Collection

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from gateway.logs import get_logger

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
