"""Holds in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from gateway.jobs.artifacts import Hold, Holds, Name
from gateway.jobs.job import NewJob
from gateway.memory.clock import Clock
from gateway.memory.table import Identity, identity_of


@dataclass(frozen=True)
class _Held:
    name: Name
    token: UUID
    until: datetime


@dataclass(frozen=True)
class MemoryHolds(Holds):
    """Names by what is kept once."""

    clock: Clock
    _held: dict[Identity, _Held] = field(default_factory=dict)

    async def take(self, name: Name, life_s: float) -> Hold | None:
        """Hold a name; None while another does."""
        now, held = self.clock(), self._held.get(_identity(name))
        if held and held.until >= now:
            return None
        token = uuid4()
        self._held[_identity(name)] = _Held(name, token, now + timedelta(seconds=life_s))
        return Hold(name, token, now, held is not None)

    async def release(self, hold: Hold) -> None:
        """Let the next one have it."""
        if self._is_own(_identity(hold.name), hold.token):
            del self._held[_identity(hold.name)]

    async def leave(self, hold: Hold, life_s: float) -> None:
        """Let it lapse then."""
        if self._is_own(_identity(hold.name), hold.token):
            until = self.clock() + timedelta(seconds=life_s)
            self._held[_identity(hold.name)] = _Held(hold.name, hold.token, until)

    async def lapsed(self, limit: int) -> Sequence[Name]:
        """Names that were not released in time."""
        now = self.clock()
        return [held.name for held in self._held.values() if held.until < now][:limit]

    def is_held(self, request: NewJob) -> bool:
        """Whether somebody is at the objects of a request's name."""
        held = self._held.get(identity_of(request))
        return held is not None and held.until >= self.clock()

    def spend(self, request: NewJob, token: UUID | None) -> bool:
        """Release the hold of a job that ends, if it has one; False where it is over."""
        if token is None:
            return True
        own = self._is_own(identity_of(request), token)
        if own:
            del self._held[identity_of(request)]
        return own

    def _is_own(self, identity: Identity, token: UUID) -> bool:
        held = self._held.get(identity)
        return held is not None and held.token == token


def _identity(name: Name) -> Identity:
    return name.tenant, name.user_id, name.request_id
