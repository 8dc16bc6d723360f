"""Loops that should never end, run again after each failure; what wakes them; and the signals that end them."""

import asyncio
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

import anyio

from gateway.errors import Problem
from gateway.logs import get_logger
from gateway.timing import Backoff

_BACKOFF = Backoff(0.2, 5.0)


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
        return _BACKOFF.pause_s(self._failures)

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


class Subscription:
    """Remembers one change until it is waited for."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def notify(self) -> None:
        """Wake whoever waits, or the next who will."""
        self._changed.set()

    async def wait(self, timeout_s: float) -> bool:
        """Whether there was a change since the last wait, or comes one within the time.

        Not with asyncio.wait_for, which before Python 3.12 forgets a cancellation that comes together with the change.
        """
        with anyio.move_on_after(timeout_s):
            await self._changed.wait()
            self._changed.clear()
            return True
        return False


class Signals:
    """Topics and their subscribers; a change that nobody subscribed to is forgotten."""

    def __init__(self) -> None:
        self._subscriptions: dict[str, set[Subscription]] = defaultdict(set)

    @contextmanager
    def subscribe(self, topic: str) -> Iterator[Subscription]:
        """Hear of a topic's changes for as long as the context lasts."""
        subscription = Subscription()
        self._subscriptions[topic].add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions[topic].discard(subscription)
            if not self._subscriptions[topic]:
                del self._subscriptions[topic]

    def notify(self, topic: str) -> None:
        """Tell a topic's subscribers."""
        for subscription in self._subscriptions.get(topic, ()):
            subscription.notify()

    def notify_all(self) -> None:
        """Tell everybody to look again, as after a lost connection."""
        for subscriptions in self._subscriptions.values():
            for subscription in subscriptions:
                subscription.notify()


def stop_signals() -> tuple[signal.Signals, ...]:
    """SIGTERM in any case; SIGINT, and SIGHUP at the end of the terminal, unless they were ignored at the start.

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
