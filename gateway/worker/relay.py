"""Has the deliveries of one kind made, and decides how many each receiver may have under way."""

import asyncio
import heapq
import time
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Self

import anyio
from structlog.contextvars import bound_contextvars

from gateway.background import Heartbeat, Subscription
from gateway.errors import Problem
from gateway.jobs.job import CallbackKind
from gateway.jobs.outbox import MOST_DUE, Delivery, DeliveryError, Lane, Sender
from gateway.jobs.store import OUTBOX
from gateway.logs import get_logger, trace_id_of
from gateway.metrics.instruments import DeliveryMetrics
from gateway.stores import Stores

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
class ReceiverLimit:
    """How many deliveries to a receiver may be under way, and of which rank it is."""

    places: int
    rank: int = _NEW


class Places:
    """The places of one kind: `first` for a receiver that is not known yet, up to `most` while it answers quickly.

    A receiver that fails has fewer and fewer, down to a single one.
    """

    def __init__(self, first: int, most: int) -> None:
        self._new = ReceiverLimit(first)
        self._most = most
        self._known: OrderedDict[str, ReceiverLimit] = OrderedDict()

    @classmethod
    def of(cls, kind: CallbackKind) -> Self:
        """Topics are few, and one broker has them all; URLs are many, and each may hang."""
        return cls(MOST_DUE, MOST_DUE) if kind == "message" else cls(4, 16)

    def note(self, receiver: str, took_s: float, *, made: bool) -> None:
        """How a delivery ended."""
        places = self._limit(receiver).places
        if made and took_s < _QUICK_S:
            limit = ReceiverLimit(min(self._most, 2 * places), _PROVEN)
        else:
            limit = ReceiverLimit(self._new.places if made else max(1, places // 2), _SLOW)
        self._known[receiver] = limit
        self._known.move_to_end(receiver)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def shares(self, under_way: Iterable[Lane], due: Mapping[Lane, int]) -> Mapping[Lane, int]:
        """How many of each lane's due deliveries may begin.

        Places are given one after the other, each to the tenant, and to its receiver, that has the fewest under way.
        """
        taken, given = _Taken(self._limit, under_way), Counter[Lane]()
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

    def _limit(self, receiver: str) -> ReceiverLimit:
        return self._known.get(receiver, self._new)


class _Taken:
    """Places that are taken, and which lane comes next."""

    def __init__(self, limit: Callable[[str], ReceiverLimit], lanes: Iterable[Lane]) -> None:
        self._limit = limit
        self._by_receiver = Counter[str]()
        self._by_rank = Counter[int]()
        self._by_tenant_and_rank = Counter[tuple[str, int]]()
        for lane in lanes:
            self.add(lane)

    def add(self, lane: Lane) -> None:
        """It counts for its own rank and for all better ranks."""
        self._by_receiver[lane.receiver] += 1
        for rank in range(self._limit(lane.receiver).rank + 1):
            self._by_rank[rank] += 1
            self._by_tenant_and_rank[lane.tenant, rank] += 1

    def of_tenant(self, tenant: str) -> int:
        return self._by_tenant_and_rank[tenant, _PROVEN]

    def turn(self, lane: Lane) -> tuple[int, int, Lane]:
        """What lanes are ordered by: the least comes first."""
        return self._by_receiver[lane.receiver], self._limit(lane.receiver).rank, lane

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
        limit = self._limit(lane.receiver)
        return self._by_receiver[lane.receiver] < limit.places and all(
            self._by_rank[rank] < _LIMITS[rank]
            and self._by_tenant_and_rank[lane.tenant, rank] < _TENANT_SHARE * _LIMITS[rank]
            for rank in range(limit.rank + 1)
        )


_LANES = 2000
"""So many lanes are looked at in one round; the next round goes on after the last of them."""
_RENEWALS_PER_LEASE = 3
_POLL_S = 1.0
_GATHER_S = 0.5
"""Pause between rounds: a look into the outbox, and a batch to the broker, cost the same for one delivery as for many.
A delivery that comes alone goes at once."""
_CROWDED_S = 0.1
"""The same while more is due than there are places for, or than one round finds."""


@dataclass(frozen=True)
class _UnderWay:
    """A delivery that this relay has taken, until the outbox knows how it ended."""

    delivery: Delivery
    task: asyncio.Task[None]


class Relay:
    """Takes due deliveries of a kind from the outbox and has them sent; each receiver has its own places.

    Sending may take long, so the lease of a delivery is renewed until the outbox knows how it ended. If another relay
    took the delivery all the same, this one stops sending it.
    """

    def __init__(
        self, kind: CallbackKind, sender: Sender, stores: Stores, lease_s: float, metrics: DeliveryMetrics
    ) -> None:
        self.heartbeat = Heartbeat(f"relay of kind {kind}")
        self._kind = kind
        self._sender = sender
        self._outbox = stores.outbox
        self._signals = stores.signals
        self._lease_s = lease_s
        self._metrics = metrics
        self._places = Places.of(kind)
        self._due = Subscription()
        self._after: Lane | None = None
        self._pause_s = _GATHER_S
        self._under_way: dict[int, _UnderWay] = {}
        self._renewed_at = time.monotonic()
        self._made: list[int] = []
        self._log = get_logger("gateway.worker")

    async def run(self) -> None:
        """Carry until cancelled, woken by new deliveries and by freed places. Raises Problem `store_unavailable`."""
        with self._signals.subscribe(OUTBOX) as self._due:
            while True:
                await self._round()
                if trouble := self._sender.trouble:
                    self.heartbeat.fail(trouble)
                else:
                    self.heartbeat.beat()
                await asyncio.sleep(self._pause_s)
                if self._after is None:
                    await self._due.wait(_POLL_S)

    async def drain(self, grace_s: float) -> None:
        """Carry what is due now, and wait for what is under way; what does not end in time is left to other relays."""
        try:
            with anyio.move_on_after(grace_s):
                await self._round()
                while tasks := self._running():
                    await asyncio.wait(tasks, timeout=self._lease_s / _RENEWALS_PER_LEASE)
                    await self._renew()
        except Problem as problem:
            self._log.warning(f"deliveries are left for later: {problem}")
        tasks = self._running()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            await self._note()
        except Problem as problem:
            self._log.warning(f"{len(self._made)} deliveries were made and will be made again: {problem}")

    def _running(self) -> list[asyncio.Task[None]]:
        return [one.task for one in self._under_way.values() if not one.task.done()]

    async def _round(self) -> None:
        """A cancellation must not lose what was taken: no other relay carries it until its lease ends."""
        with anyio.CancelScope(shield=True):
            await self._renew()
            await self._note()
            taken = await self._take()
        for delivery in taken:
            if delivery.id not in self._under_way:  # else its lease ended while the database was away
                task = asyncio.create_task(self._carry(delivery), name=f"delivery {delivery.id}")
                self._under_way[delivery.id] = _UnderWay(delivery, task)
                task.add_done_callback(partial(self._end, delivery.id))

    async def _renew(self) -> None:
        """Three times in each lease."""
        now = time.monotonic()
        if not self._under_way or now - self._renewed_at < self._lease_s / _RENEWALS_PER_LEASE:
            return
        taken = [one.delivery for one in self._under_way.values()]
        held = await self._outbox.renew(taken, self._lease_s)
        self._renewed_at = now
        for delivery in taken:
            lost = self._under_way.get(delivery.id) if delivery.id not in held else None
            if lost and not lost.task.done():
                self._log.warning("the lease is over; the delivery is left as it is", delivery_id=delivery.id)
                lost.task.cancel()

    async def _take(self) -> list[Delivery]:
        """Take deliveries of every lane in turn, as far as the receivers have places."""
        due = await self._outbox.lanes(self._kind, self._after, _LANES)
        self._after = max(due) if len(due) == _LANES else None
        shares = self._places.shares((one.delivery.content.lane for one in self._under_way.values()), due)
        is_crowded = sum(shares.values()) < sum(due.values()) or (self._after is not None and bool(shares))
        self._pause_s = _CROWDED_S if is_crowded else _GATHER_S
        return await self._outbox.take(shares, self._lease_s) if shares else []

    def _end(self, delivery_id: int, task: "asyncio.Task[None]") -> None:
        if delivery_id not in self._made:
            self._under_way.pop(delivery_id, None)
        self._due.notify()
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._log.error("unexpected error at a delivery's end; its lease will end", exc_info=error)

    async def _note(self) -> None:
        """Tell the outbox of the deliveries that were made."""
        made = tuple(self._made)
        if made:
            await self._outbox.delivered(made)
            self._metrics.count(self._kind, "delivered", len(made))
            del self._made[: len(made)]
            for delivery_id in made:
                del self._under_way[delivery_id]

    async def _carry(self, delivery: Delivery) -> None:
        began = time.monotonic()
        with bound_contextvars(delivery_id=delivery.id, **_names(delivery)):
            made = await self._delivered(delivery)
        self._places.note(delivery.content.lane.receiver, time.monotonic() - began, made=made)
        if made:
            self._made.append(delivery.id)

    async def _delivered(self, delivery: Delivery) -> bool:
        """Whether it was made; if not, it is put back."""
        try:
            await self._sender.deliver(delivery)
        except DeliveryError as error:
            await self._fail(delivery, error)
        except Exception as error:  # noqa: BLE001 a bug that one delivery brings out must not end the others
            self._log.error("unexpected error", exc_info=error)
            await self._fail(delivery, DeliveryError("An unexpected error; the log has the details."))
        else:
            return True
        return False

    async def _fail(self, delivery: Delivery, error: DeliveryError) -> None:
        try:
            await self._put_back(delivery, error)
        except Problem as problem:
            self._log.warning(f"delivery not put back, its lease will end: {problem}")

    async def _put_back(self, delivery: Delivery, error: DeliveryError) -> None:
        delay_s = None if error.lasting else self._sender.delay_s(delivery.attempts)
        facts = {"kind": self._kind, "attempts": delivery.attempts, "reason": error.reason}
        if delay_s is None:
            if await self._outbox.give_up(delivery, error.reason):
                self._metrics.count(self._kind, "given_up")
            self._log.warning("delivery given up", **facts)
            return
        wait_s = max(delay_s, error.retry_after_s)
        if await self._outbox.postpone(delivery, error.reason, wait_s):
            self._metrics.count(self._kind, "retried")
        self._log.warning("delivery will be tried again", delay_s=round(wait_s, 1), **facts)


def _names(delivery: Delivery) -> dict[str, str]:
    """The names in the log, as far as the delivery has a job and a trace."""
    trace_id = trace_id_of(delivery.content.headers.get("traceparent", ""))
    names = {"job_id": delivery.job_id and str(delivery.job_id), "trace_id": trace_id}
    return {name: value for name, value in names.items() if value}
