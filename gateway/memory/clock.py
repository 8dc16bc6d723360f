"""What time it is."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""The present, in UTC."""


def system_clock() -> datetime:
    """The machine's time."""
    return datetime.now(UTC)
