import asyncio

import pytest

from gateway.background import Signals
from gateway.jobs.store import WORK


async def test_a_change_before_the_wait_is_remembered_once() -> None:
    signals = Signals()
    with signals.subscribe(WORK) as work:
        signals.notify(WORK)
        assert await work.wait(10)
        assert not await work.wait(0.01)


async def test_every_waiter_is_woken_and_nobody_else() -> None:
    signals = Signals()
    with signals.subscribe("a") as first, signals.subscribe("a") as second, signals.subscribe("b") as other:
        waits = [asyncio.create_task(one.wait(10)) for one in (first, second)]
        signals.notify("a")
        assert await asyncio.gather(*waits) == [True, True]
        assert not await other.wait(0.01)
        signals.notify_all()
        assert await other.wait(10)


async def test_a_change_does_not_swallow_a_cancellation() -> None:
    signals = Signals()
    with signals.subscribe(WORK) as work:
        waiting = asyncio.create_task(work.wait(10))
        await asyncio.sleep(0)
        signals.notify(WORK)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
