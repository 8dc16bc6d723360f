"""A request, from its head to the last byte of its answer: whose it is, and how it is ended for the sake of others."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import cast

from starlette.requests import HTTPConnection

from gateway.deadline import Pace
from gateway.problems import Problem

_SLUGGISH = 64 * 1024
_SLUGGISH_S = 4.0
"""A request that stalls so long makes room for any other; so does one of fewer bytes a second, after that time."""


@dataclass(frozen=True, order=True)
class Owner:
    """Whose a request is. `group` is the tenant, or the caller itself where it has none."""

    group: str
    name: str


NOBODY = Owner("", "")
VISIT = "visit"
"""Where a request's scope has it."""


class Visit:
    """One request, from its head to the last byte of its answer.

    `pace` is that of the body that comes, or of the answer that goes; None while neither does.
    """

    _numbers = itertools.count()

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self.number = next(self._numbers)
        self.pace: Pace | None = None
        self._ender: Callable[[], None] | None = None
        self._is_ended = False

    @property
    def endable(self) -> bool:
        """Whether it may be ended for the sake of others."""
        return self._ender is not None

    @property
    def sluggish(self) -> bool:
        """Whether its client lets us wait, now or always."""
        pace = self.pace
        if pace is None or pace.waited_s < _SLUGGISH_S:
            return False
        return pace.stalled_s >= _SLUGGISH_S or pace.rate < _SLUGGISH

    def end(self) -> None:
        """End what may be ended."""
        ender, self._ender = self._ender, None
        if ender is not None:
            self._is_ended = True
            ender()

    @contextmanager
    def ended_by(self, ender: Callable[[], None] | None) -> Iterator[None]:
        """Work that may be ended so for the sake of others; with None, work that may not.

        The latter does not begin where the request was ended in the same turn of the loop, and is not cancelled yet.
        Raises Problem `queue_full`.
        """
        if ender is None and self._is_ended:
            raise _ended()
        before, self._ender = self._ender, ender
        try:
            yield
        finally:
            self._ender = before

    @asynccontextmanager
    async def yielding(self) -> AsyncIterator[None]:
        """Work that may be ended for the sake of others. Raises Problem `queue_full` where it was."""
        try:
            async with asyncio.timeout(None) as limit:
                with self.ended_by(lambda: limit.reschedule(0)):
                    yield
        except TimeoutError:
            if not limit.expired():
                raise
            raise _ended() from None


def visit_of(request: HTTPConnection) -> Visit:
    """What this request holds, and whose it is."""
    return cast("Visit", request.scope[VISIT])


def _ended() -> Problem:
    detail = "Others waited for the room that this request held; send it again."
    return Problem("queue_full", detail, retry_after=2)
