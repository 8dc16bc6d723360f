"""So much of something for all callers: whoever has least gets some, at the cost of whoever has most.

Who has most gives way, as in McKenney's stochastic fairness queueing (INFOCOM 1990): a lone caller may have all of it,
and no number of its requests keeps another one out.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import cast

from starlette.requests import HTTPConnection

from gateway.deadline import Deadline, Pace
from gateway.problems import Problem

_LOOK_S = 0.5
"""So often who waits looks whether somebody has become sluggish."""
_SLUGGISH = 64 * 1024
_SLUGGISH_S = 4.0
"""A request that stalls so long makes room for any other; so does one of fewer bytes a second, after that time."""


@dataclass(frozen=True)
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
            ender()

    @contextmanager
    def ended_by(self, ender: Callable[[], None] | None) -> Iterator[None]:
        """Work that may be ended so for the sake of others; with None, work that may not."""
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


class Pool:
    """So much of something, `total`; each visit holds an amount of it."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.taken = 0
        self._held: dict[Owner, dict[Visit, int]] = {}
        self._of: Counter[str | Owner] = Counter()
        self._waiting: dict[Visit, tuple[int, asyncio.Event]] = {}
        self._looked_at = float("-inf")
        self._look: asyncio.TimerHandle | None = None

    def take(self, visit: Visit, amount: int) -> bool:
        """Let the visit hold so much in all, if need be at the cost of others; False where there is no room."""
        wanted = amount - self._amount(visit)
        while wanted > self.total - self.taken:
            victim = self._victim(visit, wanted)
            if victim is None:
                return False
            self._end(victim)
        self.put(visit, amount)
        return True

    def put(self, visit: Visit, amount: int) -> None:
        """Let the visit hold so much in all, room or not: less than before, or what is there already."""
        change = amount - self._amount(visit)
        self.taken += change
        for whose in (visit.owner, visit.owner.group):
            self._of[whose] += change
            if not self._of[whose]:
                del self._of[whose]
        if amount:
            self._held.setdefault(visit.owner, {})[visit] = amount
        elif visit in (held := self._held.get(visit.owner, {})):
            del held[visit]
            if not held:
                del self._held[visit.owner]
        if change < 0:
            self._grant()

    def has_room(self, visit: Visit) -> bool:
        """Whether the visit could take one."""
        return self.taken < self.total or self._victim(visit, 1) is not None

    async def wait(self, visit: Visit, amount: int, deadline: Deadline) -> None:
        """Take so much, all there is at most, as soon as there is room.

        Raises Problem `queue_full` where there is none in time.
        """
        amount = min(amount, self.total)
        if self.take(visit, amount):
            return
        granted = asyncio.Event()
        self._waiting[visit] = (amount, granted)
        self._plan_look()
        try:
            with deadline.enforce():
                await granted.wait()
        except TimeoutError as error:
            raise Problem("queue_full", "Other requests fill the memory for bodies.", retry_after=1) from error
        finally:
            self._waiting.pop(visit, None)

    def _grant(self) -> None:
        """Give what is free to those who wait."""
        while self._waiting:
            visit = min(self._waiting, key=self._rank)
            amount, granted = self._waiting[visit]
            if amount - self._amount(visit) > self.total - self.taken:
                return
            del self._waiting[visit]
            self.put(visit, amount)
            granted.set()

    def _plan_look(self) -> None:
        if self._look is None:
            loop = asyncio.get_running_loop()
            self._look = loop.call_at(max(loop.time(), self._looked_at + _LOOK_S), self._look_around)

    def _look_around(self) -> None:
        """End who dawdles, as long as others wait; where everybody waits, the last who came gives way."""
        self._look, self._looked_at = None, asyncio.get_running_loop().time()
        slow = sorted(self._sluggish(), key=self._amount)
        while self._waiting and slow:
            self._end(slow.pop())
        while self._waiting and all(visit in self._waiting for held in self._held.values() for visit in held):
            self._end(max(self._waiting, key=lambda visit: visit.number))
        if self._waiting:
            self._plan_look()

    def _sluggish(self) -> list[Visit]:
        held = self._held.get(self._richest(), {})
        return [visit for visit in held if visit.endable and visit.sluggish and visit not in self._waiting]

    def _victim(self, visit: Visit, wanted: int) -> Visit | None:
        """The greatest of whoever has most, if that one still has no less than the visit's then."""
        richest = self._richest()
        if richest == visit.owner:
            return None
        ours, theirs = visit.owner, richest
        mine, most = (ours, theirs) if ours.group == theirs.group else (ours.group, theirs.group)
        fair = self._of[most] - self._of[mine] - wanted
        held = self._held.get(richest, {})
        yielding = [one for one, amount in held.items() if amount <= fair and one.endable]
        return max(yielding, key=lambda one: (held[one], one.number), default=None)

    def _richest(self) -> Owner:
        return max(self._held, key=lambda owner: (self._of[owner.group], self._of[owner]), default=NOBODY)

    def _rank(self, visit: Visit) -> tuple[int, int, int, int]:
        """Whoever has least goes first; of one caller's, the smallest, as the great ones may be there to block it."""
        return self._of[visit.owner.group], self._of[visit.owner], self._waiting[visit][0], visit.number

    def _amount(self, visit: Visit) -> int:
        return self._held.get(visit.owner, {}).get(visit, 0)

    def _end(self, visit: Visit) -> None:
        visit.end()
        self._waiting.pop(visit, None)
        self.put(visit, 0)


def _ended() -> Problem:
    detail = "Others waited for the room that this request held; send it again."
    return Problem("queue_full", detail, retry_after=2, headers={"Connection": "close"})
