"""A part of the worker, kept running."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio

from gateway.problems import Problem
from gateway.worker.pulse import Pulse

_TICK_S = 5.0


@dataclass(frozen=True)
class Part:
    """A loop that should never end, and its pulse."""

    run: Callable[[], Awaitable[None]]
    pulse: Pulse

    async def keep_running(self) -> None:
        """Run until cancelled: after a failure again, with a pause that grows until the part works."""
        while True:
            try:
                await self.run()
            except Problem as problem:
                self.pulse.fail(str(problem))
            except Exception as error:  # noqa: BLE001 a bug in one part must not end the others
                self.pulse.fail(repr(error), error)
            else:
                self.pulse.fail("it ended")
            await anyio.sleep(self.pulse.pause_s)


async def ticking(run: Callable[[], Awaitable[None]], pulse: Pulse) -> None:
    """Run what has no pulse of its own; that it goes on is its sign of life."""
    ticks = asyncio.create_task(_tick(pulse))
    try:
        await run()
    finally:
        ticks.cancel()


async def _tick(pulse: Pulse) -> None:
    while True:
        await anyio.sleep(_TICK_S)
        pulse.beat()
