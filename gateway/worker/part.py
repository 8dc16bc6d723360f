"""A part of the worker, kept running."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio

from gateway.errors import Problem
from gateway.supervision import Pulse, reason_of


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
                self.pulse.fail(reason_of(problem))
            except Exception as error:  # noqa: BLE001 a bug in one part must not end the others
                self.pulse.fail(repr(error), error)
            else:
                self.pulse.fail("it ended")
            await anyio.sleep(self.pulse.pause_s)
