"""Deliveries taken as a relay takes them."""

from typing import get_args

from gateway.jobs.job import CallbackKind
from gateway.jobs.outbox import Delivery, Outbox

KINDS: tuple[CallbackKind, ...] = get_args(CallbackKind)


async def take_due(outbox: Outbox, lease_s: float, *kinds: CallbackKind) -> list[Delivery]:
    """All that is due of these kinds, or of any, in the order of their coming."""
    due = [await outbox.lanes(kind, None, 10_000) for kind in kinds or KINDS]
    shares = {lane: count for lanes in due for lane, count in lanes.items() if count}
    return await outbox.take(shares, lease_s)
