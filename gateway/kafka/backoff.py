"""Pauses that grow while something is away."""

import anyio

from gateway.logs import get_logger

_FIRST_S = 0.25
_LONGEST_S = 5.0


class Backoff:
    """Pauses of 0.25, 0.5, 1 … 5 s; logs when `what` goes away and when it is back, not every try between."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._pause_s = _FIRST_S
        self._log = get_logger("gateway.kafka")

    async def pause(self, reason: str) -> None:
        """Wait after a failure."""
        if self._pause_s == _FIRST_S:
            self._log.warning(f"{self._what} is not available, trying again", reason=reason)
        await anyio.sleep(self._pause_s)
        self._pause_s = min(2 * self._pause_s, _LONGEST_S)

    def over(self) -> None:
        """It works again."""
        if self._pause_s > _FIRST_S:
            self._log.info(f"{self._what} is available again")
        self._pause_s = _FIRST_S
