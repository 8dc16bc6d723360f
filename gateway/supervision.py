"""Tasks that run for as long as the process: their signs of life, and the signals that stop them."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from gateway.errors import Problem
from gateway.logs import get_logger

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0


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
        return min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(max(0, self._failures - 1), 16))

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


def stop_signals() -> tuple[signal.Signals, ...]:
    """SIGTERM, whatever was ignored at the start; SIGINT and the end of the terminal, unless they were.

    A script's shell has SIGINT ignored in what it starts in the background, and nohup(1) has SIGHUP.
    """
    heard = (one for one in (signal.SIGINT, signal.SIGHUP) if signal.getsignal(one) is not signal.SIG_IGN)
    return (signal.SIGTERM, *heard)


class Stopping:
    """Takes the signals as long as the context lasts, so that none ends the process between two of its steps."""

    def __init__(self) -> None:
        self.told = False
        self._interrupts = False

    def check(self) -> None:
        """Raise KeyboardInterrupt where it was told to stop."""
        if self.told:
            raise KeyboardInterrupt

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Within it, being told raises KeyboardInterrupt, wherever the process is."""
        self.check()
        self._interrupts = True
        try:
            yield
        finally:
            self._interrupts = False

    def note(self, _number: int, _frame: FrameType | None) -> None:
        """Handle a signal."""
        self.told = True
        if self._interrupts:
            self._interrupts = False
            raise KeyboardInterrupt


@contextmanager
def stopping() -> Iterator[Stopping]:
    """Note the signals from here on."""
    noted = Stopping()
    before = {number: signal.signal(number, noted.note) for number in stop_signals()}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
