"""What time it is."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from gateway.jobs.job import Waiting

Clock = Callable[[], datetime]
"""The present, in UTC."""


def waiting_since(moments: Iterable[datetime], now: datetime) -> Waiting:
    """How many moments there are, and how long ago the first was."""
    known = list(moments)
    return Waiting(len(known), max(0.0, (now - min(known)).total_seconds()) if known else 0.0)


def system_clock() -> datetime:
    """The machine's time."""
    return datetime.now(UTC)
