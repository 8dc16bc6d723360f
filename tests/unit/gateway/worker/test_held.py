import asyncio
from uuid import uuid4

from gateway.jobs.job import Lease
from gateway.worker.held import HeldLease
from tests.unit.gateway.worker.jobs import job


class Time:
    now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_a_lease_that_holds_is_not_waited_for() -> None:
    clock = Time()
    held = HeldLease(Lease(job(), uuid4()), 110.0, clock)
    await asyncio.wait_for(held.secured(), 10)


async def test_after_a_standstill_the_renewal_is_waited_for() -> None:
    clock = Time()
    held = HeldLease(Lease(job(), uuid4()), 110.0, clock)
    clock.now = 120.0
    waiting = asyncio.create_task(held.secured())
    for late in (115.0, 119.0):
        await asyncio.sleep(0)
        held.extend(late)
        await asyncio.sleep(0)
        assert not waiting.done()
    held.extend(121.0)
    await asyncio.wait_for(waiting, 10)
