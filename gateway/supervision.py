"""Supervised tasks: loops that should never end, run again after each failure, and their signs of life."""

import time
from collections.abc import Callable
from typing import Protocol

import anyio

from gateway.logs import get_logger
from gateway.problems import Problem

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0


def reason_of(problem: Problem) -> str:
    """What a problem says, and what caused it, for those who run the service."""
    cause = " ".join(str(problem.__cause__ or "").split())
    return f"{problem} ({cause})" if cause else str(problem)


class Heartbeat:
    """When a task last showed life, and why it fails; the log is told of each change once."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.failing: str | None = None
        self._clock = clock
        self._at = clock()
        self._failures = 0
        self._log = get_logger("gateway.worker")

    @property
    def silent_s(self) -> float:
        """Seconds since the last sign of life; a failure is one too."""
        return self._clock() - self._at

    @property
    def pause_s(self) -> float:
        """Seconds to wait before the task is started again: longer with each failure in a row."""
        return min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(max(0, self._failures - 1), 16))

    def beat(self) -> None:
        """The task did its work."""
        self._at = self._clock()
        self._failures = 0
        if self.failing is not None:
            self.failing = None
            self._log.info(f"{self.name} works again")

    def fail(self, reason: str, error: Exception | None = None) -> None:
        """The task failed; an error that nobody expected is logged with its traceback."""
        self._at = self._clock()
        self._failures += 1
        if error is not None:
            self._log.error(f"{self.name} failed: {reason}", exc_info=error)
        elif self.failing != reason:
            self._log.warning(f"{self.name} waits: {reason}")
        self.failing = reason


class Supervised(Protocol):
    """A task that runs until it is cancelled, or fails."""

    heartbeat: Heartbeat

    async def run(self) -> None:
        """Work until cancelled. May raise anything."""


async def keep_running(task: Supervised) -> None:
    """Run the task until cancelled: after a failure again, with a pause that grows until the task works."""
    heartbeat = task.heartbeat
    while True:
        try:
            await task.run()
        except Problem as problem:
            heartbeat.fail(reason_of(problem))
        except Exception as error:  # noqa: BLE001 a bug in one task must not end the others
            heartbeat.fail(repr(error), error)
        else:
            heartbeat.fail("it ended")
        await anyio.sleep(heartbeat.pause_s)
