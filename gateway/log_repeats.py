"""Keeps a library that tries again and again from filling the logs."""

import logging
import time
from collections.abc import Callable


class Repeats(logging.Filter):
    """Lets a line of code of the named library log a warning or worse once in `interval_s` seconds."""

    def __init__(self, library: str, interval_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(library)
        self._interval_s = interval_s
        self._clock = clock
        self._logged: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged; those of others always are."""
        if record.levelno < logging.WARNING or not super().filter(record):
            return True
        place, now = (record.pathname, record.lineno), self._clock()
        if now - self._logged.get(place, -self._interval_s) < self._interval_s:
            return False
        self._logged[place] = now
        return True
