"""Locks on the names of artifacts, in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from typing_extensions import override

from gateway.jobs.artifacts import ArtifactLock, ArtifactLocks, LockName, lock_name
from gateway.jobs.job import NewJob
from gateway.memory.table import Clock


@dataclass(frozen=True)
class MemoryArtifactLocks(ArtifactLocks):
    """The token of each name's latest lock, and until when it is locked."""

    clock: Clock
    _taken: dict[LockName, tuple[UUID, datetime]] = field(default_factory=dict)

    @override
    async def take(self, name: LockName, life_s: float) -> ArtifactLock | None:
        if self._is_locked(name):
            return None
        lock = ArtifactLock(name, uuid4(), self.clock(), inherited=name in self._taken)
        self._taken[name] = lock.token, lock.since + timedelta(seconds=life_s)
        return lock

    @override
    async def release(self, lock: ArtifactLock) -> None:
        self._free(lock.name, lock.token)

    @override
    async def leave(self, lock: ArtifactLock, life_s: float) -> None:
        if self._free(lock.name, lock.token):
            self._taken[lock.name] = lock.token, self.clock() + timedelta(seconds=life_s)

    @override
    async def lapsed(self, limit: int) -> Sequence[LockName]:
        return [name for name in self._taken if not self._is_locked(name)][:limit]

    def is_locked(self, request: NewJob) -> bool:
        """Whether somebody works on the objects of a request's name."""
        return self._is_locked(lock_name(request))

    def spend(self, request: NewJob, token: UUID | None) -> bool:
        """Release the lock of a job that ends, if it has one; False where another has taken the name since."""
        return token is None or self._free(lock_name(request), token)

    def _is_locked(self, name: LockName) -> bool:
        return name in self._taken and self._taken[name][1] >= self.clock()

    def _free(self, name: LockName, token: UUID) -> bool:
        """False where the lock is not the name's latest."""
        own = name in self._taken and self._taken[name][0] == token
        if own:
            del self._taken[name]
        return own
