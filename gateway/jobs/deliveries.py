"""The outbox: messages and callbacks that a job's outcome owes to others."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from gateway.jobs.job import CallbackKind, Job, Outcome, Waiting

DeliveryState = Literal["pending", "delivered", "failed"]


@dataclass(frozen=True)
class NewDelivery:
    """One message or callback, with exactly the content that every attempt sends.

    `destination` is a topic or a URL. `key` is a message's key, a webhook's id.
    """

    kind: CallbackKind
    destination: str
    key: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Delivery:
    """A delivery in the outbox. `attempts` counts the started ones; `last_error` is the latest one's."""

    id: int
    job_id: UUID | None
    content: NewDelivery
    state: DeliveryState
    attempts: int
    created_at: datetime
    run_at: datetime
    ended_at: datetime | None = None
    last_error: str | None = None


class Announce(Protocol):
    """Makes the deliveries that a job's outcome owes; the store calls it within the transaction that ends the job."""

    def __call__(self, job: Job, outcome: Outcome) -> Sequence[NewDelivery]:
        """The deliveries, in the order of their sending."""


class Outbox(Protocol):
    """Deliveries kept until they are made. Every method raises Problem `store_unavailable`."""

    async def take(self, limit: int, lease_s: float, kinds: Collection[CallbackKind] | None = None) -> list[Delivery]:
        """Due deliveries, of these kinds or any, the oldest first, kept from others for `lease_s` seconds.

        `attempts` counts this one.
        """

    async def renew(self, ids: Sequence[int], lease_s: float) -> None:
        """Keep deliveries that are still under way from others for longer."""

    async def delivered(self, ids: Sequence[int]) -> None:
        """Note deliveries that were made."""

    async def postpone(self, delivery_id: int, reason: str, delay_s: float) -> None:
        """Try again later."""

    async def give_up(self, delivery_id: int, reason: str) -> None:
        """Never try again, unless it is asked for."""

    async def of_job(self, job_id: UUID) -> list[Delivery]:
        """A job's deliveries in order, without their bodies (`b""`)."""

    async def standing(self) -> Mapping[CallbackKind, Waiting]:
        """Deliveries that are not made yet, by kind; the age since the outcome that owes them."""

    async def resend(self, job_id: UUID) -> int:
        """Make a job's failed deliveries pending again, with attempts from zero; how many there were."""
