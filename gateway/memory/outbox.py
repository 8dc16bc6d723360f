"""The outbox in memory."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count, islice
from uuid import UUID

from typing_extensions import override

from gateway.background import Signals
from gateway.jobs.job import CallbackKind, Waiting
from gateway.jobs.outbox import MOST_DUE, Delivery, DeliveryState, Lane, Outbox, OutboxMessage
from gateway.jobs.store import OUTBOX
from gateway.memory import Clock, waiting_since


class MemoryOutbox(Outbox):
    """Deliveries by id; one that was taken is due again when its lease is over."""

    def __init__(self, signals: Signals, clock: Clock) -> None:
        self._signals = signals
        self._clock = clock
        self._ids = count(1)
        self._deliveries: dict[int, Delivery] = {}
        self._pending: set[int] = set()
        self._of_job: dict[UUID, list[int]] = defaultdict(list)

    def add(self, job_id: UUID | None, contents: Iterable[OutboxMessage]) -> None:
        """Keep deliveries until they are made."""
        now = self._clock()
        for content in contents:
            delivery = Delivery(next(self._ids), job_id, content, "pending", 0, now, now)
            self._put(delivery)
            if job_id is not None:
                self._of_job[job_id].append(delivery.id)
            self._signals.notify(OUTBOX)

    def forget(self, job_id: UUID) -> None:
        """Drop a job's deliveries, made or not."""
        self._drop(self._of_job.pop(job_id, ()))

    def detach(self, job_id: UUID) -> None:
        """Drop a job's deliveries except those that are pending."""
        for delivery in self._known(self._of_job.pop(job_id, ())):
            self._put(replace(delivery, job_id=None))
            if delivery.state != "pending":
                self._drop([delivery.id])

    @override
    async def lanes(self, kind: CallbackKind, after: Lane | None, limit: int) -> Mapping[Lane, int]:
        now, due = self._clock(), Counter[Lane]()
        for delivery in self._known(self._pending):
            lane = delivery.content.lane
            if lane.kind == kind and (after is None or lane > after):
                due[lane] += delivery.run_at <= now
        return {lane: min(due[lane], MOST_DUE) for lane in islice(sorted(due), limit)}

    @override
    async def take(self, shares: Mapping[Lane, int], lease_s: float) -> list[Delivery]:
        now, left = self._clock(), dict(shares)
        taken: list[Delivery] = []
        for delivery in sorted(self._known(self._pending), key=lambda one: (one.run_at, one.id)):
            lane = delivery.content.lane
            if delivery.run_at <= now and left.get(lane):
                left[lane] -= 1
                taken.append(self._lease(delivery.id, lease_s))
        return sorted(taken, key=lambda one: one.id)

    @override
    async def renew(self, taken: Collection[Delivery], lease_s: float) -> frozenset[int]:
        until = self._clock() + timedelta(seconds=lease_s)
        held = [one for attempt in taken for one in self._waiting(attempt)]
        for delivery in held:
            self._put(replace(delivery, run_at=until))
        return frozenset(one.id for one in held)

    @override
    async def delivered(self, ids: Sequence[int]) -> None:
        for delivery in self._known(ids):
            self._end(_without_body(delivery), "delivered", None)
            if delivery.job_id is None:
                self._drop([delivery.id])

    @override
    async def postpone(self, delivery: Delivery, reason: str, delay_s: float) -> bool:
        found = self._waiting(delivery)
        for waiting in found:
            self._put(replace(waiting, run_at=self._clock() + timedelta(seconds=delay_s), last_error=reason))
        return bool(found)

    @override
    async def give_up(self, delivery: Delivery, reason: str) -> bool:
        found = self._waiting(delivery)
        for waiting in found:
            self._end(waiting, "failed", reason)
            if waiting.job_id is None:
                self._drop([waiting.id])
        return bool(found)

    @override
    async def of_job(self, job_id: UUID) -> list[Delivery]:
        return [_without_body(self._deliveries[delivery_id]) for delivery_id in self._of_job.get(job_id, ())]

    @override
    async def standing(self) -> Mapping[CallbackKind, Waiting]:
        came: dict[CallbackKind, list[datetime]] = defaultdict(list)
        for delivery in self._known(self._pending):
            came[delivery.content.kind].append(delivery.created_at)
        return {kind: waiting_since(moments, self._clock()) for kind, moments in came.items()}

    @override
    async def resend(self, job_id: UUID) -> int:
        failed = [one for one in self._known(self._of_job.get(job_id, ())) if one.state == "failed"]
        for delivery in failed:
            self._put(replace(delivery, state="pending", attempts=0, run_at=self._clock(), ended_at=None))
            self._signals.notify(OUTBOX)
        return len(failed)

    def _lease(self, delivery_id: int, lease_s: float) -> Delivery:
        delivery = self._deliveries[delivery_id]
        until = self._clock() + timedelta(seconds=lease_s)
        return self._put(replace(delivery, attempts=delivery.attempts + 1, run_at=until))

    def _end(self, delivery: Delivery, state: DeliveryState, reason: str | None) -> None:
        self._put(replace(delivery, state=state, ended_at=self._clock(), last_error=reason or delivery.last_error))

    def _known(self, ids: Iterable[int]) -> list[Delivery]:
        """Those that went with their job, meanwhile, are left out."""
        return [self._deliveries[delivery_id] for delivery_id in ids if delivery_id in self._deliveries]

    def _waiting(self, attempt: Delivery) -> list[Delivery]:
        """The delivery as it is, unless it was taken anew."""
        known = self._known([attempt.id] if attempt.id in self._pending else [])
        return [one for one in known if one.attempts == attempt.attempts]

    def _drop(self, ids: Iterable[int]) -> None:
        for delivery_id in ids:
            del self._deliveries[delivery_id]
            self._pending.discard(delivery_id)

    def _put(self, delivery: Delivery) -> Delivery:
        self._deliveries[delivery.id] = delivery
        (self._pending.add if delivery.state == "pending" else self._pending.discard)(delivery.id)
        return delivery


def _without_body(delivery: Delivery) -> Delivery:
    return replace(delivery, content=replace(delivery.content, body=b""))
