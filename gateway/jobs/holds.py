"""Who may touch the objects of a request's name: one at a time, and written down before the first object is.

The keys of artifacts follow from user and request id, as callers rely on, so a deleted job's and its successor's are
the same. Whoever writes or removes such objects holds their name meanwhile. Under a hold, what the outcome of the
name's job does not name is nobody's, and may go: that of a deleted job, of a failed or late attempt, of a writer that
died.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from gateway.errors import Problem
from gateway.jobs.job import NewJob
from gateway.jobs.uploads import prefixes_of

_LAST_S = 20.0
"""So long before a hold ends nothing is begun under it any more: a process may stand still for a while."""


@dataclass(frozen=True)
class Name:
    """A request's name, and what the keys of its job's artifacts begin with."""

    tenant: str
    user_id: str
    request_id: str
    prefixes: tuple[str, ...]


@dataclass(frozen=True)
class Hold:
    """A name, held under a token that is new each time; `since` by the store's clock.

    `inherited` from a holder that did not release it, and may have left objects.
    """

    name: Name
    token: UUID
    since: datetime
    inherited: bool = False


class Holds(Protocol):
    """Names and who holds them. Every method raises Problem `store_unavailable`."""

    async def take(self, name: Name, life_s: float) -> Hold | None:
        """Hold a name for so many seconds; None while another does."""

    async def release(self, hold: Hold) -> None:
        """Let the next one have it."""

    async def leave(self, hold: Hold, life_s: float) -> None:
        """Let it lapse in so many seconds."""

    async def lapsed(self, limit: int) -> Sequence[Name]:
        """Names whose holders did not release them in time: they died, or left requests behind."""


@dataclass
class Grip:
    """A hold in the hand of this process, and what is to become of it.

    `clean`: what was begun is done. `dirty`: objects may be there that nobody names yet. `busy`: a request to the
    object store may be under way. `spent`: the end of a job released it.
    """

    hold: Hold
    ends_at: float
    state: Literal["clean", "dirty", "busy", "spent"] = "clean"

    def check(self) -> None:
        """Raise Problem `storage_unavailable` where too little is left of the hold, as after a standstill."""
        if time.monotonic() > self.ends_at - _LAST_S:
            raise hold_lost()


def hold_lost() -> Problem:
    """What was written may be gone by now."""
    return Problem("storage_unavailable", "Storing took too long; send it again.", retry_after=1)


def name_of(request: NewJob) -> Name:
    """The name that a request's objects are held by."""
    return Name(request.tenant, request.user_id, request.request_id, prefixes_of(request))
