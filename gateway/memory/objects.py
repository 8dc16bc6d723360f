"""What is kept in memory: photos and artifacts, the locks on their names, jobs; and what goes when there is no room."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count
from uuid import UUID, uuid4

from typing_extensions import override

from gateway.errors import Problem
from gateway.jobs.job import ArtifactLock, Job, LockName, NewJob
from gateway.jobs.objects import Bucket, ObjectMissingError, StoredObject, input_keys, lock_name, tenant_of
from gateway.jobs.outbox import MessageMaker, OutboxMessage
from gateway.jobs.store import ArtifactLocks
from gateway.memory import Clock
from gateway.memory.cache import MemoryCache
from gateway.memory.outbox import MemoryOutbox
from gateway.pipelines.outputs import Failure

_RETRY_AFTER_S = 5
_FINISHED_KEPT = 10_000

Identity = tuple[str, str, str]


class MemoryBucket(Bucket):
    """Objects by key, which must fit within each of the limits; how many bytes each tenant's are, by their keys."""

    def __init__(self) -> None:
        self.limits: Sequence[MemoryLimit] = ()
        self.used_by = Counter[str]()
        self._objects: dict[str, StoredObject] = {}

    @override
    async def put(self, key: str, data: bytes, media_type: str) -> None:
        most = min(limit.most for limit in self.limits)
        if len(data) > most:
            raise Problem("body_too_large", f"At most {most} bytes are kept in memory.")
        more = len(data) - self._size(key)
        if not all(limit.reserve(more) for limit in self.limits):
            detail = "The memory is full of the photos and masks of unfinished jobs (MEMORY_STORE_BYTES)."
            raise Problem("queue_full", detail, retry_after=_RETRY_AFTER_S)
        self._count(key, len(data) - self._size(key))
        self._objects[key] = StoredObject(data, media_type)

    @override
    async def get(self, key: str) -> StoredObject:
        try:
            return self._objects[key]
        except KeyError as error:
            raise ObjectMissingError(key) from error

    @override
    async def remove(self, keys: Sequence[str]) -> None:
        self.forget(keys)

    @override
    async def keys(self, prefix: str) -> list[str]:
        return [key for key in self._objects if key.startswith(prefix)]

    @override
    async def check(self) -> None:
        """Always there."""

    def forget(self, keys: Iterable[str]) -> None:
        """Remove objects at once."""
        for key in keys:
            self._count(key, -self._size(key))
            self._objects.pop(key, None)

    def _size(self, key: str) -> int:
        return len(self._objects[key].data) if key in self._objects else 0

    def _count(self, key: str, change: int) -> None:
        tenant = tenant_of(key)
        self.used_by[tenant] += change
        if not self.used_by[tenant]:
            del self.used_by[tenant]


@dataclass(frozen=True)
class MemoryLimit:
    """How many bytes some buckets may take together; `shed` drops some, and returns False if all are needed."""

    most: int
    buckets: Sequence[MemoryBucket]
    shed: Callable[[], bool] = bool

    def reserve(self, size: int) -> bool:
        """Whether so many more bytes fit, once enough was shed."""
        while sum(bucket.used_by.total() for bucket in self.buckets) + size > self.most:
            if not self.shed():
                return False
        return True


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


def identity_of(request: NewJob) -> Identity:
    """What is kept once: tenant, user and request id."""
    return request.tenant, request.user_id, request.request_id


@dataclass(frozen=True)
class Removal:
    """When a job's objects are to be removed, why they could not be, and until when a worker may still write some."""

    due_at: datetime
    writes_until: datetime
    attempts: int = 0
    reason: str = ""


class JobTable:
    """Jobs in the order in which they came; a hidden job, which is being deleted, is seen only by janitors."""

    def __init__(self) -> None:
        self._sequences = count(1)
        self._jobs: dict[UUID, Job] = {}
        self._identities: dict[Identity, UUID] = {}
        self._unfinished: dict[str, dict[UUID, None]] = {}
        self._finished: dict[str, dict[UUID, None]] = {}
        self._hidden: dict[UUID, datetime] = {}
        self.removals: dict[UUID, Removal] = {}

    def new(self, request: NewJob, now: datetime) -> Job:
        """A job that comes now; `add` puts it into the table."""
        sequence = next(self._sequences)
        outcome = request.outcome
        if outcome is None:
            return Job(request, sequence, "queued", 0, now, now, None, None, None, None)
        return Job(request, sequence, outcome.state, 0, now, now, None, now, outcome, None)

    def add(self, job: Job) -> None:
        """Keep a new job under its identity."""
        self._identities[identity_of(job.request)] = job.id
        self.put(job)

    def put(self, job: Job) -> None:
        """Keep a job as it is now."""
        self._jobs[job.id] = job
        unfinished, finished = (self._unfinished, job.request.owner), (self._finished, job.request.tenant)
        groups, name = finished if job.finished else unfinished
        groups.setdefault(name, {}).setdefault(job.id)
        _discard(*(unfinished if job.finished else finished), job.id)

    def hide(self, job: Job, now: datetime, removal: Removal) -> None:
        """Let a finished job be one that is being deleted; its identity is free again."""
        self._hidden[job.id] = now
        self.removals[job.id] = removal
        del self._identities[identity_of(job.request)]

    def forget(self, job: Job) -> None:
        """Drop a finished job."""
        _discard(self._finished, job.request.tenant, job.id)
        for kept in (self._jobs, self._hidden, self.removals):
            kept.pop(job.id, None)
        if self._identities.get(identity_of(job.request)) == job.id:
            del self._identities[identity_of(job.request)]

    def namesake(self, request: NewJob) -> Job | None:
        """The job of this tenant, user and request id that is not hidden."""
        job_id = self._identities.get(identity_of(request))
        return self._jobs[job_id] if job_id else None

    def kept(self, request: NewJob) -> Job | None:
        """The job that was made of the same request before; hidden, where it is the very same one."""
        return self.namesake(request) or self._jobs.get(request.id)

    def get(self, job_id: UUID) -> Job | None:
        """A job that is not hidden."""
        return None if job_id in self._hidden else self._jobs.get(job_id)

    def deleting(self, job_id: UUID) -> Job | None:
        """A job that is hidden."""
        return self._shown(self._jobs[job_id]) if job_id in self._hidden else None

    def newest(self) -> Iterator[Job]:
        """Jobs, hidden ones too, the newest first."""
        return map(self._shown, reversed(self._jobs.values()))

    def unfinished(self) -> Iterator[tuple[str, list[Job]]]:
        """Each user's jobs that are queued or running, the oldest first."""
        return ((user, [self._jobs[job_id] for job_id in ids]) for user, ids in self._unfinished.items())

    def finished(self, tenant: str) -> Iterator[Job]:
        """A tenant's jobs that ended, hidden or not, the first to end first."""
        return (self._jobs[job_id] for job_id in self._finished.get(tenant, ()))

    def finished_counts(self) -> Mapping[str, int]:
        """Finished jobs by tenant, hidden or not."""
        return {tenant: len(jobs) for tenant, jobs in self._finished.items()}

    def hidden_since(self) -> list[datetime]:
        """When hidden jobs were hidden."""
        return list(self._hidden.values())

    def hidden_count(self) -> int:
        """Hidden jobs, which are all finished."""
        return len(self._hidden)

    def ended_by(self, moment: datetime) -> list[Job]:
        """Jobs that are not hidden and ended by then, a tenant's first to end first."""
        ended = (
            self._jobs[job_id] for jobs in self._finished.values() for job_id in jobs if job_id not in self._hidden
        )
        return [job for job in ended if job.finished_at and job.finished_at <= moment]

    def removable_by(self, moment: datetime) -> list[Job]:
        """Jobs whose objects are to be removed by then, the first to be due first."""
        due = sorted((removal.due_at, job_id) for job_id, removal in self.removals.items() if removal.due_at <= moment)
        return [self._shown(self._jobs[job_id]) for _, job_id in due]

    def _shown(self, job: Job) -> Job:
        """A hidden one as what it is."""
        if job.id not in self._hidden:
            return job
        reason = self.removals[job.id].reason
        return replace(job, state="deleting", last_failure=Failure("storage_unavailable", reason) if reason else None)


def _discard(groups: dict[str, dict[UUID, None]], name: str, job_id: UUID) -> None:
    group = groups.get(name, {})
    group.pop(job_id, None)
    if not group:
        groups.pop(name, None)


@dataclass(frozen=True)
class Endings:
    """Finished jobs, with all that belongs to them."""

    table: JobTable
    outbox: MemoryOutbox
    photos: MemoryBucket
    artifacts: MemoryBucket
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
        self.photos.forget(input_keys(job.request))
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
        self.artifacts.forget(artifact.key for artifact in job.outcome.artifacts if artifact.key not in kept)
