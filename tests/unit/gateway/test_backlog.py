import pytest

from gateway.errors import Problem
from gateway.jobs.job import QueueCounts
from gateway.limits.admission import Backlog, ends_in_s
from tests.unit.gateway.memory.making import Clock, claimed, request, stores_of

MOST = 12


@pytest.mark.parametrize(("queued", "workers", "seconds"), [(0, 0, 0.2), (10, 0, 2.2), (10, 2, 1.2), (3000, 2, 300.2)])
def test_the_wait_grows_with_the_queue_without_a_bound(queued: int, workers: int, seconds: float) -> None:
    assert ends_in_s(QueueCounts(queued, 0, workers)) == pytest.approx(seconds)


class Queue:
    """A queue whose bound is MOST."""

    def __init__(self) -> None:
        self.stores = stores_of(Clock())
        self.backlog = Backlog(self.stores.jobs, MOST)

    async def fill(self, tenant: str, most: int = 100) -> int:
        """Submit jobs until one is refused; how many were not."""
        for number in range(most):
            try:
                await self.backlog.check(tenant)
            except Problem as problem:
                if problem.code != "queue_full" or "Retry-After" not in problem.headers:
                    raise
                return number
            await self.stores.jobs.submit([request(tenant=tenant)])
        return most


@pytest.fixture
def queue() -> Queue:
    return Queue()


async def test_a_tenant_that_fills_the_queue_blocks_nobody(queue: Queue) -> None:
    assert [await queue.fill(tenant) for tenant in ("a", "b", "c", "")] == [MOST, MOST // 2, MOST // 3, MOST // 4]
    assert [await queue.fill(tenant) for tenant in ("a", "b", "c", "")] == [0, 0, 0, 0]


async def test_a_tenant_without_a_share_left_may_still_add_one(queue: Queue) -> None:
    for number in range(MOST):
        assert await queue.fill(str(number), 1) == 1
    assert [await queue.fill(tenant) for tenant in ("late", "later")] == [1, 1]


async def test_a_tenant_above_its_share_waits_until_the_queue_has_room(queue: Queue) -> None:
    assert [await queue.fill("a"), await queue.fill("b", 1)] == [MOST, 1]
    assert len(await claimed(queue.stores, 1)) == 1
    assert [await queue.fill("a"), await queue.backlog.room("a"), await queue.backlog.room("b")] == [0, 0, 5]
    assert len(await claimed(queue.stores, 1)) == 1
    assert await queue.fill("a") == 1


async def test_backlog_room_is_the_number_of_jobs_a_tenant_may_add(queue: Queue) -> None:
    assert await queue.backlog.room("a") == MOST
    await queue.fill("a", 4)
    assert (await queue.backlog.room("a"), await queue.backlog.room("b")) == (8, 8)
    await queue.fill("a", 6)
    assert (await queue.backlog.room("a"), await queue.backlog.room("b")) == (2, 6)


async def test_claimed_places_count_for_their_tenant(queue: Queue) -> None:
    await queue.fill("a")
    with queue.backlog.claiming("b") as claim:
        for _ in range(MOST // 2):
            await claim()
        with pytest.raises(Problem, match="queue_full"):
            await claim()
        assert (await queue.fill("b"), await queue.fill("c", 2)) == (0, 2)
    assert await queue.fill("b", 2) == 2
