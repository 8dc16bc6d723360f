"""When a failed attempt at a job is followed by another."""

from gateway.retry import Backoff

_BACKOFF = Backoff(1.0, 60.0, jitter=0.2)


def delay_s(attempts: int) -> float:
    """Seconds to wait after so many attempts: 1, 2, 4 … at most 60, each × 0.8–1.2."""
    return _BACKOFF.pause_s(attempts)
