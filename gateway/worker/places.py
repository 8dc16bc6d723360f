"""How many deliveries each receiver may have under way, so that a receiver that hangs holds up no other."""

import heapq
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from gateway.jobs.job import CallbackKind
from gateway.jobs.outbox import MOST_DUE, Lane

_PROVEN, _NEW, _SLOW = range(3)
"""Ranks of receivers by their latest answer: a quick one; none yet; a failure or a late one."""
_LIMITS = (384, 256, 128)
"""Most deliveries under way: in all; to new and slow receivers; to slow ones. So slow receivers leave places for new
ones, and both leave places for proven ones."""
_TENANT_SHARE = 7 / 8
"""Of each limit: the receivers of one tenant never take all of it."""
_QUICK_S = 2.0
_REMEMBERED = 10_000


@dataclass(frozen=True)
class Standing:
    """How many deliveries to a receiver may be under way, and of which rank it is."""

    places: int
    rank: int = _NEW


class Places:
    """The places of one kind: `first` for a receiver that is not known yet, up to `most` while it answers quickly.

    A receiver that fails has fewer and fewer, down to a single one.
    """

    def __init__(self, first: int, most: int) -> None:
        self._new = Standing(first)
        self._most = most
        self._known: OrderedDict[str, Standing] = OrderedDict()

    @classmethod
    def of(cls, kind: CallbackKind) -> Self:
        """Topics are few, and one broker has them all; URLs are many, and each may hang."""
        return cls(MOST_DUE, MOST_DUE) if kind == "message" else cls(4, 16)

    def note(self, receiver: str, took_s: float, *, made: bool) -> None:
        """How a delivery ended."""
        places = self._standing(receiver).places
        if made and took_s < _QUICK_S:
            standing = Standing(min(self._most, 2 * places), _PROVEN)
        else:
            standing = Standing(self._new.places if made else max(1, places // 2), _SLOW)
        self._known[receiver] = standing
        self._known.move_to_end(receiver)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def shares(self, under_way: Iterable[Lane], due: Mapping[Lane, int]) -> Mapping[Lane, int]:
        """How many of each lane's due deliveries may begin.

        Places are given one after the other, each to the tenant, and to its receiver, that has the fewest under way.
        """
        taken, given = _Taken(self._standing, under_way), Counter[Lane]()
        queues: dict[str, list[tuple[int, int, Lane]]] = defaultdict(list)
        for lane in (lane for lane, count in due.items() if count):
            heapq.heappush(queues[lane.tenant], taken.turn(lane))
        tenants = [(taken.of_tenant(tenant), tenant) for tenant in queues]
        heapq.heapify(tenants)
        while tenants:
            _, tenant = heapq.heappop(tenants)
            following = taken.next_of(queues[tenant])
            if following is None:
                continue
            taken.add(following)
            given[following] += 1
            if given[following] < due[following]:
                heapq.heappush(queues[tenant], taken.turn(following))
            heapq.heappush(tenants, (taken.of_tenant(tenant), tenant))
        return given

    def _standing(self, receiver: str) -> Standing:
        return self._known.get(receiver, self._new)


class _Taken:
    """Places that are taken, and which lane comes next."""

    def __init__(self, standing: Callable[[str], Standing], lanes: Iterable[Lane]) -> None:
        self._standing = standing
        self._by_receiver = Counter[str]()
        self._by_rank = Counter[int]()
        self._by_tenant_and_rank = Counter[tuple[str, int]]()
        for lane in lanes:
            self.add(lane)

    def add(self, lane: Lane) -> None:
        """It counts for its own rank and for all better ranks."""
        self._by_receiver[lane.receiver] += 1
        for rank in range(self._standing(lane.receiver).rank + 1):
            self._by_rank[rank] += 1
            self._by_tenant_and_rank[lane.tenant, rank] += 1

    def of_tenant(self, tenant: str) -> int:
        return self._by_tenant_and_rank[tenant, _PROVEN]

    def turn(self, lane: Lane) -> tuple[int, int, Lane]:
        """What lanes are ordered by: the least comes first."""
        return self._by_receiver[lane.receiver], self._standing(lane.receiver).rank, lane

    def next_of(self, queue: list[tuple[int, int, Lane]]) -> Lane | None:
        """A tenant's next lane that has a place; lanes without one leave the queue."""
        while queue:
            lane = heapq.heappop(queue)[-1]
            if not self._has_room(lane):
                continue
            if queue and self.turn(lane) > queue[0]:  # another tenant's lane has taken of its receiver's places
                heapq.heappush(queue, self.turn(lane))
                continue
            return lane
        return None

    def _has_room(self, lane: Lane) -> bool:
        standing = self._standing(lane.receiver)
        return self._by_receiver[lane.receiver] < standing.places and all(
            self._by_rank[rank] < _LIMITS[rank]
            and self._by_tenant_and_rank[lane.tenant, rank] < _TENANT_SHARE * _LIMITS[rank]
            for rank in range(standing.rank + 1)
        )
