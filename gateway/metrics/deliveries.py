"""An outbox whose deliveries are counted."""

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, get_args
from uuid import UUID

from prometheus_client import CollectorRegistry, Counter
from typing_extensions import override

from gateway.jobs.job import CallbackKind, Waiting
from gateway.jobs.outbox import Delivery, Lane, Outbox

KINDS: tuple[CallbackKind, ...] = get_args(CallbackKind)
_Status = Literal["delivered", "retried", "given_up"]


class DeliveryFigures:
    """What became of attempts at deliveries, by kind."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ended = Counter(
            "outbox_deliveries_total", "Attempts at deliveries.", ["kind", "status"], registry=registry
        )
        for kind in KINDS:
            for status in get_args(_Status):
                self._ended.labels(kind, status)

    def count(self, kind: CallbackKind, status: _Status) -> None:
        """One more attempt ended."""
        self._ended.labels(kind, status).inc()


class MeasuredOutbox(Outbox):
    """Does what another outbox does, and counts what becomes of the deliveries that are taken here."""

    def __init__(self, outbox: Outbox, figures: DeliveryFigures) -> None:
        self._outbox = outbox
        self._figures = figures
        self._taken: dict[int, CallbackKind] = {}

    @override
    async def lanes(self, kind: CallbackKind, after: Lane | None, limit: int) -> Mapping[Lane, int]:
        return await self._outbox.lanes(kind, after, limit)

    @override
    async def take(self, shares: Mapping[Lane, int], lease_s: float) -> list[Delivery]:
        taken = await self._outbox.take(shares, lease_s)
        self._taken.update({delivery.id: delivery.content.kind for delivery in taken})
        return taken

    @override
    async def renew(self, taken: Collection[Delivery], lease_s: float) -> frozenset[int]:
        held = await self._outbox.renew(taken, lease_s)
        for delivery in taken:
            if delivery.id not in held:
                self._taken.pop(delivery.id, None)
        return held

    async def delivered(self, ids: Sequence[int]) -> None:
        """Count deliveries that were made."""
        await self._outbox.delivered(ids)
        for delivery_id in ids:
            self._count(delivery_id, "delivered")

    async def postpone(self, delivery: Delivery, reason: str, delay_s: float) -> bool:
        """Count an attempt that another will follow."""
        done = await self._outbox.postpone(delivery, reason, delay_s)
        if done:
            self._count(delivery.id, "retried")
        return done

    async def give_up(self, delivery: Delivery, reason: str) -> bool:
        """Count a delivery that will not be made."""
        done = await self._outbox.give_up(delivery, reason)
        if done:
            self._count(delivery.id, "given_up")
        return done

    @override
    async def of_job(self, job_id: UUID) -> list[Delivery]:
        return await self._outbox.of_job(job_id)

    @override
    async def standing(self) -> Mapping[CallbackKind, Waiting]:
        return await self._outbox.standing()

    @override
    async def resend(self, job_id: UUID) -> int:
        return await self._outbox.resend(job_id)

    def _count(self, delivery_id: int, status: _Status) -> None:
        kind = self._taken.pop(delivery_id, None)
        if kind:
            self._figures.count(kind, status)
