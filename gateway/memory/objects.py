"""Photos and artifacts in memory: who may write them, how much room they have, and which go first."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from typing_extensions import override

from gateway.errors import Problem
from gateway.jobs.artifacts import ArtifactLock, ArtifactLocks, LockName, lock_name
from gateway.jobs.job import Job, NewJob
from gateway.jobs.objects import Bucket, ObjectMissingError, StoredObject, input_keys, tenant_of
from gateway.jobs.outbox import MessageMaker, OutboxMessage
from gateway.memory.cache import MemoryCache
from gateway.memory.outbox import MemoryOutbox
from gateway.memory.table import Clock, JobTable

_RETRY_AFTER_S = 5


class Objects:
    """Objects by key; how many bytes they are in all, and by the tenants that their keys name."""

    def __init__(self) -> None:
        self.used = 0
        self.used_by = Counter[str]()
        self._objects: dict[str, StoredObject] = {}

    def put(self, key: str, content: StoredObject) -> None:
        """Keep an object in place of any earlier one."""
        self._count(key, len(content.data) - self.size(key))
        self._objects[key] = content

    def get(self, key: str) -> StoredObject:
        """An object. Raises ObjectMissingError."""
        try:
            return self._objects[key]
        except KeyError as error:
            raise ObjectMissingError(key) from error

    def size(self, key: str) -> int:
        """Bytes of an object; 0 where there is none."""
        content = self._objects.get(key)
        return len(content.data) if content else 0

    def remove(self, keys: Iterable[str]) -> None:
        """Forget objects."""
        for key in keys:
            self._count(key, -self.size(key))
            self._objects.pop(key, None)

    def keys(self, prefix: str) -> list[str]:
        """Keys that begin with the prefix."""
        return [key for key in self._objects if key.startswith(prefix)]

    def _count(self, key: str, change: int) -> None:
        tenant = tenant_of(key)
        self.used += change
        self.used_by[tenant] += change
        if not self.used_by[tenant]:
            del self.used_by[tenant]


@dataclass(frozen=True)
class MemoryLimit:
    """How many bytes some objects may take together; `shed` drops some, and returns False if all are needed."""

    most: int
    objects: Sequence[Objects]
    shed: Callable[[], bool] = bool

    def reserve(self, size: int) -> bool:
        """Whether so many more bytes fit, once enough was shed."""
        while sum(one.used for one in self.objects) + size > self.most:
            if not self.shed():
                return False
        return True


@dataclass(frozen=True)
class MemoryBucket(Bucket):
    """Objects that must fit within each of the limits."""

    objects: Objects
    limits: Sequence[MemoryLimit]

    @override
    async def put(self, key: str, data: bytes, media_type: str) -> None:
        most = min(limit.most for limit in self.limits)
        if len(data) > most:
            raise Problem("body_too_large", f"At most {most} bytes are kept in memory.")
        more = len(data) - self.objects.size(key)
        if not all(limit.reserve(more) for limit in self.limits):
            detail = "The memory is full of the photos and masks of unfinished jobs (MEMORY_STORE_BYTES)."
            raise Problem("queue_full", detail, retry_after=_RETRY_AFTER_S)
        self.objects.put(key, StoredObject(data, media_type))

    @override
    async def get(self, key: str) -> StoredObject:
        return self.objects.get(key)

    @override
    async def remove(self, keys: Sequence[str]) -> None:
        self.objects.remove(keys)

    @override
    async def keys(self, prefix: str) -> list[str]:
        return self.objects.keys(prefix)

    @override
    async def check(self) -> None:
        """Always there."""


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


_FINISHED_KEPT = 10_000


@dataclass(frozen=True)
class Endings:
    """Finished jobs, with all that belongs to them."""

    table: JobTable
    outbox: MemoryOutbox
    photos: Objects
    artifacts: Objects
    cache: MemoryCache
    messages_of: MessageMaker
    locks: MemoryArtifactLocks

    def messages(self, job: Job) -> Sequence[OutboxMessage]:
        """The messages that a job's outcome owes."""
        return self.messages_of(job, job.outcome) if job.outcome else ()

    def keep(self, job: Job, messages: Sequence[OutboxMessage]) -> None:
        """Keep a job that has its outcome now; its photo goes."""
        self.table.put(job)
        self.outbox.add(job.id, messages)
        self.photos.remove(input_keys(job.request))
        while sum((counts := self.table.finished_counts()).values()) > _FINISHED_KEPT and self._shed(counts):
            pass

    def shed(self) -> bool:
        """Drop the oldest finished job of the tenant whose masks take most, with its objects and deliveries.

        A job whose name is locked stays, as by the successor of a deleted job. False if there is none to drop.
        """
        return self._shed(self.artifacts.used_by)

    def forget(self, job: Job) -> None:
        """Drop a deleted job whose objects are gone; what is still owed to others is sent all the same."""
        self.cache.forget(str(job.id))
        self.outbox.detach(job.id)
        self.table.forget(job)

    def _shed(self, amounts: Mapping[str, int]) -> bool:
        for tenant in sorted(self.table.finished_counts(), key=lambda tenant: amounts.get(tenant, 0), reverse=True):
            job = next((job for job in self.table.finished(tenant) if not self.locks.is_locked(job.request)), None)
            if job is not None:
                self._remove_artifacts(job)
                self.outbox.forget(job.id)
                self.table.forget(job)
                return True
        return False

    def _remove_artifacts(self, job: Job) -> None:
        """Keep those that a later job of the same name has, or may be writing, under the same keys."""
        later = self.table.namesake(job.request)
        if job.outcome is None or (later and later.id != job.id and later.outcome is None):
            return
        others = later.outcome.artifacts if later and later.id != job.id and later.outcome else ()
        kept = {artifact.key for artifact in others}
        self.artifacts.remove(artifact.key for artifact in job.outcome.artifacts if artifact.key not in kept)
