import pytest

from gateway.settings import Settings
from gateway.stores import memory_stores
from tests.queue_machine import QueueUnderTest, announce, check_queue
from tests.unit.gateway.memory.making import Clock


class MemoryQueue(QueueUnderTest):
    """Stores in memory, with a clock that the test moves."""

    takes_messages = False

    def __init__(self) -> None:
        self._clock = Clock()

    async def begin(self, settings: Settings) -> None:
        stores = memory_stores(settings, announce, self._clock)
        self.jobs, self.outbox, self.dead_letters = stores.jobs, stores.outbox, stores.dead_letters

    async def pass_time(self, seconds: float) -> None:
        self._clock.forward(seconds)


def test_the_queue_does_what_the_model_says(request: pytest.FixtureRequest) -> None:
    check_queue(MemoryQueue, 1000 if request.config.getoption("--long") else 50)
