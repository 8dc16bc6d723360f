"""When a failed attempt at a job is followed by another."""

import random

_LONGEST_S = 60.0
_JITTER = 0.2


def delay_s(attempts: int) -> float:
    """Seconds to wait after so many attempts: 1, 2, 4 … at most 60, each × 0.8–1.2 so that jobs do not return at once.

    Exponential backoff with jitter.
    """
    exponent = min(max(0, attempts - 1), 16)
    base = min(_LONGEST_S, 2.0**exponent)
    return base * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 jitter, not a secret
