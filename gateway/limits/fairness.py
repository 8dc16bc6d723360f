"""How callers share what is limited: whoever has least is served first, at the cost of whoever has most.

Whoever has most gives way, as in McKenney's stochastic fairness queueing (INFOCOM 1990): a lone caller may have all
there is, and no number of its requests keeps another caller out.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace
from typing import cast

from starlette.requests import HTTPConnection

from gateway.errors import Problem
from gateway.timing import Deadline, Pace

_SLUGGISH = 64 * 1024
_SLUGGISH_S = 4.0
"""A request that stalls for so long may be ended for others; so may one that is slower than _SLUGGISH bytes a second,
after that time."""


@dataclass(frozen=True, order=True)
class Owner:
    """Whose a request is. `group` is the tenant, or the caller itself where it has none."""

    group: str
    name: str


NOBODY = Owner("", "")
VISIT = "visit"
"""The key in a request's ASGI scope."""


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
        """Whether its client keeps the gateway waiting: now, or by being slow all along."""
        pace = self.pace
        if pace is None or pace.waited_s < _SLUGGISH_S:
            return False
        return pace.stalled_s >= _SLUGGISH_S or pace.rate < _SLUGGISH

    def end(self) -> None:
        """End the request, where it may be ended."""
        ender, self._ender = self._ender, None
        if ender is not None:
            self._is_ended = True
            ender()

    @contextmanager
    def ended_by(self, ender: Callable[[], None] | None) -> Iterator[None]:
        """Work that `ender` may end for the sake of others; with None, work that nobody may end.

        The request may have been ended a moment ago, before its cancellation arrives. Work that nobody may end does
        not begin then. Raises Problem `queue_full`.
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
    """The visit of a request, as the middleware put it there."""
    return cast("Visit", request.scope[VISIT])


def _ended() -> Problem:
    detail = "Others waited for the room that this request held; send it again."
    return Problem("queue_full", detail, retry_after=2)


_LOOK_S = 0.5
"""The least time between two searches for sluggish requests, while others wait."""
_ROUNDS = 16
"""The most waiting requests that one search makes room for: to end hundreds at once would hold up everybody."""


class Pool:
    """A limited amount, `total`, of which each visit holds a part."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.taken = 0
        self._held: dict[Owner, dict[Visit, int]] = {}
        self._of: Counter[str | Owner] = Counter()
        self._wanted: dict[Visit, tuple[int, asyncio.Event]] = {}
        self._looked_at = float("-inf")
        self._look: asyncio.TimerHandle | None = None
        self._granting: asyncio.Handle | None = None

    def take(self, visit: Visit, amount: int) -> bool:
        """Let the visit hold `amount` in all, if need be by ending others; False where there is no room."""
        victims = self._victims(visit, amount - self._amount(visit))
        if victims is None:
            return False
        for victim in victims:
            self._end(victim)
        self.put(visit, amount)
        return True

    def put(self, visit: Visit, amount: int) -> None:
        """Let the visit hold `amount` in all, room or not: to give some back, or for what is there already."""
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
            self._grant_soon()

    def has_room(self, visit: Visit) -> bool:
        """Whether the visit could take one."""
        return self._victims(visit, 1) is not None

    async def wait(self, visit: Visit, amount: int, deadline: Deadline) -> None:
        """Take `amount`, at most the total, as soon as there is room.

        Raises Problem `queue_full` where there is none in time.
        """
        amount = min(amount, self.total)
        if self.take(visit, amount):
            return
        granted = asyncio.Event()
        self._wanted[visit] = (amount, granted)
        self._plan_look()
        try:
            with deadline.enforce():
                await granted.wait()
        except TimeoutError as error:
            raise Problem("queue_full", "Other requests fill the memory for bodies.", retry_after=1) from error
        finally:
            self._wanted.pop(visit, None)
            self._grant_soon()

    def _grant_soon(self) -> None:
        """Grant once for everything that is given back in one turn of the event loop."""
        if self._wanted and self._granting is None:
            self._granting = asyncio.get_running_loop().call_soon(self._grant)

    def _grant(self) -> Visit | None:
        """Give what is free to those who wait; the first for whom it is not enough is returned.

        Whoever holds least comes first, and of one caller's requests the smallest, so that large ones block nothing.
        """
        self._granting = None
        queues: dict[Owner, list[Visit]] = {}
        for visit in sorted(self._wanted, key=lambda visit: (self._wanted[visit][0], visit.number), reverse=True):
            queues.setdefault(visit.owner, []).append(visit)
        line = _Line(queues, lambda owner: (self._of[owner.group], self._of[owner], queues[owner][-1].number))
        while (owner := line.first()) is not None:
            visit = queues[owner][-1]
            amount, granted = self._wanted[visit]
            if self._lacking(amount - self._amount(visit)) > 0:
                return visit
            del self._wanted[visit]
            self.put(visit, amount)
            granted.set()
            queues[owner].pop()
            if not queues[owner]:
                line.leave()
        return None

    def _plan_look(self) -> None:
        if self._look is None:
            loop = asyncio.get_running_loop()
            self._look = loop.call_at(max(loop.time(), self._looked_at + _LOOK_S), self._look_around)

    def _look_around(self) -> None:
        """End sluggish requests while others wait; where all wait for one another, the newest gives way."""
        self._look, self._looked_at = None, asyncio.get_running_loop().time()
        for _ in range(_ROUNDS):
            visit = self._grant()
            if visit is None or not (victims := self._sluggish_victims(visit) or self._stuck()):
                break
            for victim in victims:
                self._end(victim)
        if self._wanted:
            self._plan_look()

    def _sluggish_victims(self, visit: Visit) -> list[Visit]:
        """The largest sluggish requests of whoever has most; none where they would not be enough for the visit."""
        richest = max(self._held, key=lambda owner: (self._of[owner.group], self._of[owner]), default=NOBODY)
        held, victims = self._held.get(richest, {}), []
        lacking = self._lacking(self._wanted[visit][0] - self._amount(visit))
        slow = [one for one in held if one.endable and one.sluggish and one not in self._wanted]
        for one in sorted(slow, key=lambda one: held[one], reverse=True):
            victims.append(one)
            lacking -= held[one]
            if lacking <= 0:
                return victims
        return []

    def _stuck(self) -> list[Visit]:
        """The newest of the requests that hold something, where all of them wait for more."""
        holding = [visit for held in self._held.values() for visit in held]
        if not all(visit in self._wanted for visit in holding):
            return []
        return sorted((visit for visit in holding if visit.endable), key=lambda visit: visit.number)[-1:]

    def _victims(self, visit: Visit, wanted: int) -> list[Visit] | None:
        """Whom to end so that `wanted` more becomes free; None where that is not possible.

        One after the other: the largest request of the caller who has most at that point, as long as that caller would
        still have no less than the visit's caller.
        """
        lacking, victims = self._lacking(wanted), list[Visit]()
        if lacking <= 0:
            return victims
        left, yielding = self._of.copy(), dict[Owner, list[Visit]]()
        line = _Line(self._held, lambda owner: (-left[owner.group], -left[owner]))
        while lacking > 0:
            owner = line.first()
            if owner is None or owner == visit.owner:
                return None
            held = self._held[owner]
            if owner not in yielding:
                yielding[owner] = sorted((one for one in held if one.endable), key=lambda one: (held[one], one.number))
            most, mine = (owner, visit.owner) if owner.group == visit.owner.group else (owner.group, visit.owner.group)
            fair = left[most] - left[mine] - wanted
            while yielding[owner] and held[yielding[owner][-1]] > fair:
                yielding[owner].pop()
            if not yielding[owner]:
                return None
            victims.append(yielding[owner].pop())
            left.subtract(dict.fromkeys((owner, owner.group), held[victims[-1]]))
            lacking -= held[victims[-1]]
        return victims

    def _lacking(self, wanted: int) -> int:
        return wanted - (self.total - self.taken)

    def _amount(self, visit: Visit) -> int:
        return self._held.get(visit.owner, {}).get(visit, 0)

    def _end(self, visit: Visit) -> None:
        """End the visit; what it held is free for others."""
        visit.end()
        self._wanted.pop(visit, None)
        self.put(visit, 0)


class _Line:
    """Owners by rank, the lowest first; an owner's rank may rise meanwhile."""

    def __init__(self, owners: Iterable[Owner], rank: Callable[[Owner], tuple[int, ...]]) -> None:
        self._rank = rank
        self._heap = [(rank(owner), owner) for owner in owners]
        heapify(self._heap)

    def first(self) -> Owner | None:
        """The owner with the lowest rank now; None where nobody is left."""
        while self._heap:
            before, owner = self._heap[0]
            if (now := self._rank(owner)) == before:
                return owner
            heapreplace(self._heap, (now, owner))
        return None

    def leave(self) -> None:
        """Remove the first."""
        heappop(self._heap)
