"""The outbox: what a job's outcome tells others, in messages, signed callbacks and uploads."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Literal, NamedTuple, Protocol
from uuid import UUID

from pydantic import BaseModel

from gateway.errors import Problem
from gateway.fetching.guard import parse_url
from gateway.jobs.job import (
    CallbackKind,
    Job,
    Outcome,
    Waiting,
)

DeliveryState = Literal["pending", "delivered", "failed"]
MOST_DUE = 64
"""So many of one lane are counted, as nobody takes more at once."""

_PORTS = {"http": 80, "https": 443}


class Lane(NamedTuple):
    """Deliveries of one kind and tenant to one receiver: a topic, or host:port of a URL.

    Each lane moves on its own: none waits for another one's receiver.
    """

    kind: CallbackKind
    receiver: str
    tenant: str


@dataclass(frozen=True)
class OutboxMessage:
    """One message or callback, with exactly the content that every attempt sends.

    `destination` is a topic or a URL. `key` is a message's key, a webhook's id. `tenant` is that of the job, empty for
    all who name none. `receiver` is as the outbox has it, which a version before may have written.
    """

    kind: CallbackKind
    destination: str
    key: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    tenant: str = ""
    receiver: str = field(default="", compare=False)

    @cached_property
    def lane(self) -> Lane:
        """The lane it goes in."""
        own = self.destination if self.kind == "message" else _receiver(self.destination)
        return Lane(self.kind, self.receiver or own, self.tenant)


class UploadBody(BaseModel):
    """An upload as the outbox keeps it: the form's fields, and the masks' keys by the names of their fields."""

    user_id: str
    job_id: str
    provider: str
    files: Mapping[str, str]


@dataclass(frozen=True)
class Delivery:
    """A delivery in the outbox. `attempts` counts the started ones; `last_error` is the latest one's.

    Whoever took it has the latest attempt: it is put back, and kept from others, by its number.
    """

    id: int
    job_id: UUID | None
    content: OutboxMessage
    state: DeliveryState
    attempts: int
    created_at: datetime
    run_at: datetime
    ended_at: datetime | None = None
    last_error: str | None = None


MessageMaker = Callable[[Job, Outcome], Sequence[OutboxMessage]]
"""Makes the messages that a job's outcome owes, in the order in which they are sent. The store calls it within the
transaction that ends the job."""


class Outbox(Protocol):
    """Deliveries kept until they are made. Every method raises Problem `store_unavailable`."""

    async def lanes(self, kind: CallbackKind, after: Lane | None, limit: int) -> Mapping[Lane, int]:
        """Lanes of a kind with pending deliveries, in their order, from the one after `after` on; `limit` at most.

        With each, how many of its deliveries are due: MOST_DUE at most.
        """

    async def take(self, shares: Mapping[Lane, int], lease_s: float) -> list[Delivery]:
        """Due deliveries, so many of each lane, its oldest first, kept from others for `lease_s` seconds.

        `attempts` counts this one.
        """

    async def renew(self, taken: Collection[Delivery], lease_s: float) -> frozenset[int]:
        """Keep deliveries that are still under way from others for longer.

        Returns the ids of those that nobody else took and that are still there.
        """

    async def delivered(self, ids: Sequence[int]) -> None:
        """Note deliveries that were made."""

    async def postpone(self, delivery: Delivery, reason: str, delay_s: float) -> bool:
        """Try again later. False, and nothing done, where it was taken anew or is gone."""

    async def give_up(self, delivery: Delivery, reason: str) -> bool:
        """Never try again, unless it is asked for. False as `postpone`."""

    async def of_job(self, job_id: UUID) -> list[Delivery]:
        """A job's deliveries in order, without their bodies (`b""`)."""

    async def standing(self) -> Mapping[CallbackKind, Waiting]:
        """Deliveries that are not made yet, by kind; the age since the outcome that owes them."""

    async def resend(self, job_id: UUID) -> int:
        """Make a job's failed deliveries pending again, with attempts from zero; how many there were."""


def _receiver(url: str) -> str:
    """Where a URL leads; the text itself where it is none, to which nothing can be sent."""
    try:
        parsed = parse_url(url)
    except Problem:
        return url
    netloc = parsed.netloc.decode("ascii")
    return netloc if parsed.port else f"{netloc}:{_PORTS[parsed.scheme]}"


class DeliveryError(Exception):
    """A delivery was not made; `lasting` where another attempt is useless; `retry_after_s` where a server named it."""

    def __init__(self, reason: str, *, lasting: bool = False, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.lasting = lasting
        self.retry_after_s = retry_after_s


class Sender(Protocol):
    """Makes deliveries of one kind."""

    @property
    def trouble(self) -> str | None:
        """What keeps deliveries under way for too long, in words; not the fault of one receiver."""

    async def deliver(self, delivery: Delivery) -> None:
        """Make one. Raises DeliveryError."""

    def delay_s(self, attempts: int) -> float | None:
        """Seconds to wait after so many failed attempts; None to give up."""
