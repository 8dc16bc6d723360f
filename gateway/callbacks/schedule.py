"""When a failed delivery is tried again."""

import random
from dataclasses import dataclass

_MINUTE = 60.0
_HOUR = 60 * _MINUTE
_JITTER = 0.1
"""A share of a long delay, so that what failed together does not come back together."""


@dataclass(frozen=True)
class Schedule:
    """The delays between attempts, in seconds."""

    delays_s: tuple[float, ...]

    def delay_s(self, attempts: int) -> float | None:
        """Seconds to wait after so many failed attempts, those of minutes and more with jitter; None to give up."""
        if attempts > len(self.delays_s):
            return None
        delay_s = self.delays_s[max(0, attempts - 1)]
        if delay_s < _MINUTE:
            return delay_s
        return delay_s * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 jitter, not a secret


WEBHOOK = Schedule(
    (
        5.0,
        5 * _MINUTE,
        30 * _MINUTE,
        2 * _HOUR,
        5 * _HOUR,
        10 * _HOUR,
        14 * _HOUR,
        20 * _HOUR,
        24 * _HOUR,
    )
)
"""The schedule that Standard Webhooks 1.0 suggests."""

UPLOAD = Schedule((1.0, 2.0, 4.0, 8.0))
"""Five attempts, as the mask asset service knows them."""
