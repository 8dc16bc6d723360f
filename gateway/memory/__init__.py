"""The stores of a gateway without PostgreSQL and S3: everything is lost when the process ends.

Invariant: one event loop owns these objects, and none of their methods awaits anything between its first line and its
last. So every method is one transaction, and no method needs a lock.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from gateway.jobs.job import Waiting

Clock = Callable[[], datetime]
"""The present, in UTC."""


def system_clock() -> datetime:
    """The machine's time."""
    return datetime.now(UTC)


def waiting_since(moments: Iterable[datetime], now: datetime) -> Waiting:
    """How many moments there are, and how long ago the first was."""
    known = list(moments)
    return Waiting(len(known), max(0.0, (now - min(known)).total_seconds()) if known else 0.0)
