import pytest

from gateway.kafka.consumer import FlowControl


class Consumer:
    """A consumer of two partitions."""

    def __init__(self) -> None:
        self.now = 0.0
        self.stopped: set[int] = set()

    def assignment(self) -> set[int]:
        return {0, 1}

    def paused(self) -> set[int]:
        return self.stopped

    def pause(self, *partitions: int) -> None:
        self.stopped = self.stopped | set(partitions)

    def resume(self, *partitions: int) -> None:
        self.stopped = self.stopped - set(partitions)


@pytest.fixture
def consumer():
    return Consumer()


@pytest.fixture
def flow(consumer):
    return FlowControl(consumer, 100, lambda: consumer.now)


def test_messages_are_taken_while_half_of_the_queue_is_free(consumer, flow):
    flow.update(50)
    assert not consumer.stopped
    flow.update(49)
    assert consumer.stopped == {0, 1}
    flow.update(49)
    assert consumer.stopped == {0, 1}
    flow.update(50)
    assert not consumer.stopped


def test_places_that_others_leave_free_are_used_after_a_while(consumer, flow):
    flow.update(10)
    consumer.now = 2.0
    flow.update(0)
    assert consumer.stopped
    flow.update(1)
    assert not consumer.stopped
    flow.update(1)
    assert consumer.stopped


def test_partitions_that_come_meanwhile_are_paused_too(consumer, flow):
    flow.update(0)
    consumer.stopped = set()
    flow.on_partitions_assigned([1])
    assert consumer.stopped == {1}
