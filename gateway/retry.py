"""How long to wait before something that failed is tried again."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

_MOST_STEPS = 64
"""Steps after which a pause grows no more, far past any longest one."""


@dataclass(frozen=True)
class Backoff:
    """Pauses that grow with each failure in a row: `first_s`, then `factor` times as long, at most `longest_s`.

    `jitter` is the share by which each pause is longer or shorter at random, so that what failed at one moment does not
    come back at one moment.
    """

    first_s: float
    longest_s: float
    factor: float = 2.0
    jitter: float = 0.0

    def pause_s(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row."""
        steps = min(max(0, failures - 1), _MOST_STEPS)
        pause_s = min(self.longest_s, self.first_s * self.factor**steps)
        return pause_s * random.uniform(1 - self.jitter, 1 + self.jitter)  # noqa: S311 jitter, not a secret

    def pauses(self) -> Iterator[float]:
        """The pauses after the first failure, the second, and so on without end."""
        return map(self.pause_s, count(1))
