"""Who waits for what to change, inside one process."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import anyio

WORK = "work"
OUTBOX = "outbox"
"""Topics beside the ids of jobs: a job is due; a delivery is due."""


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
