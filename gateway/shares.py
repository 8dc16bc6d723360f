"""So much of something for all callers: whoever has least gets some, at the cost of whoever has most.

Who has most gives way, as in McKenney's stochastic fairness queueing (INFOCOM 1990): a lone caller may have all of it,
and no number of its requests keeps another one out.
"""

import asyncio
import itertools
from collections import Counter
from heapq import heappop, heappush

from gateway.deadline import Deadline
from gateway.problems import Problem
from gateway.visits import NOBODY, Owner, Visit

_LOOK_S = 0.5
"""So often, at most, it is looked whether somebody has become sluggish for whom others wait."""


class Pool:
    """So much of something, `total`; each visit holds an amount of it."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.taken = 0
        self._held: dict[Owner, dict[Visit, int]] = {}
        self._of: Counter[str | Owner] = Counter()
        self._wanted: dict[Visit, tuple[int, asyncio.Event]] = {}
        self._queues: dict[Owner, list[tuple[int, int, Visit]]] = {}
        self._order = itertools.count()
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
        before = self.taken
        self._set(visit, amount)
        if self.taken < before:
            self._grant()

    def _set(self, visit: Visit, amount: int) -> None:
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
        self._wanted[visit] = (amount, granted)
        heappush(self._queues.setdefault(visit.owner, []), (amount, next(self._order), visit))
        self._plan_look()
        try:
            with deadline.enforce():
                await granted.wait()
        except TimeoutError as error:
            raise Problem("queue_full", "Other requests fill the memory for bodies.", retry_after=1) from error
        finally:
            self._wanted.pop(visit, None)

    def _grant(self) -> None:
        """Give what is free to those who wait."""
        while (visit := self._next()) is not None and self._lacking(visit) <= 0:
            amount, granted = self._wanted.pop(visit)
            self.put(visit, amount)
            granted.set()

    def _next(self) -> Visit | None:
        """Of whoever holds least; of one caller's the smallest, as the great ones may be there to block it."""
        for owner, queue in list(self._queues.items()):
            while queue and self._wanted.get(queue[0][2], (0,))[0] != queue[0][0]:
                heappop(queue)  # it waits no more
            if not queue:
                del self._queues[owner]
        if not self._queues:
            return None
        return self._queues[min(self._queues, key=self._poverty)][0][2]

    def _poverty(self, owner: Owner) -> tuple[int, int, int]:
        return self._of[owner.group], self._of[owner], self._queues[owner][0][1]

    def _lacking(self, visit: Visit) -> int:
        return self._wanted[visit][0] - self._amount(visit) - (self.total - self.taken)

    def _plan_look(self) -> None:
        if self._look is None:
            loop = asyncio.get_running_loop()
            self._look = loop.call_at(max(loop.time(), self._looked_at + _LOOK_S), self._look_around)

    def _look_around(self) -> None:
        """End who dawdles, as long as others wait; where everybody waits, the last who came gives way."""
        self._look, self._looked_at = None, asyncio.get_running_loop().time()
        slow = sorted(self._sluggish(), key=self._amount)
        while slow and (visit := self._next()) is not None:
            while slow and self._lacking(visit) > 0:
                self._end(slow.pop())
            self._grant()
        while self._wanted and all(visit in self._wanted for held in self._held.values() for visit in held):
            self._end(max(self._wanted, key=lambda visit: visit.number))
            self._grant()
        if self._wanted:
            self._plan_look()

    def _sluggish(self) -> list[Visit]:
        held = self._held.get(self._richest(), {})
        return [visit for visit in held if visit.endable and visit.sluggish and visit not in self._wanted]

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

    def _amount(self, visit: Visit) -> int:
        return self._held.get(visit.owner, {}).get(visit, 0)

    def _end(self, visit: Visit) -> None:
        """End it; what it held is given to others by _grant."""
        visit.end()
        self._wanted.pop(visit, None)
        self._set(visit, 0)
