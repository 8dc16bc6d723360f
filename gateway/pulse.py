"""Signs of life of a worker's parts."""

import time
from collections.abc import Callable

from gateway.logs import get_logger
from gateway.problems import Problem
from gateway.retry import Backoff

_BACKOFF = Backoff(0.2, 5.0)


def reason_of(problem: Problem) -> str:
    """What a problem says, and what is behind it, for those who run the service."""
    behind = " ".join(str(problem.__cause__ or "").split())
    return f"{problem} ({behind})" if behind else str(problem)


class Pulse:
    """When a part last showed life, and what it fails of; the log hears of each change once."""

    def __init__(self, part: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.part = part
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
        """Seconds to wait before the part is started again: longer with each failure in a row."""
        return _BACKOFF.pause_s(self._failures)

    def beat(self) -> None:
        """The part did what it is there for."""
        self._at = self._clock()
        self._failures = 0
        if self.failing is not None:
            self.failing = None
            self._log.info(f"{self.part} works again")

    def fail(self, reason: str, error: Exception | None = None) -> None:
        """The part failed; with the traceback of an error that nobody expected."""
        self._at = self._clock()
        self._failures += 1
        if error is not None:
            self._log.error(f"{self.part} failed: {reason}", exc_info=error)
        elif self.failing != reason:
            self._log.warning(f"{self.part} waits: {reason}")
        self.failing = reason
