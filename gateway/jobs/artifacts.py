"""Artifacts into their bucket and out of it again, under the lock on their job's name.

The keys of artifacts follow from user and request id, as callers rely on, so a deleted job and its successor have the
same keys. Whoever writes or removes such objects locks their name before the first of them. What the outcome of the
name's job does not name may then go: it is of a deleted job, of a failed or late attempt, or of a writer that died.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

import anyio

from gateway.errors import Problem
from gateway.jobs.job import NewJob, StoredArtifact
from gateway.jobs.objects import Bucket, ObjectMissingError, ObjectsKeptError, UnansweredError, object_key, prefixes_of
from gateway.jobs.store import JobFilter, JobStore
from gateway.pipelines.outputs import Artifact
from gateway.timing import Backoff

IN_SILENCE = "without a word"
"""The reason that is given where a server keeps an object although it says that it removed it."""

_LIFE_S = 30.0
_BYTES_PER_S = 1024 * 1024
"""A lock lasts longer than writes and removals take: that, and what the object store is given for large objects."""
_LAST_S = 20.0
"""With less time left of a lock, nothing more is begun under it, as a process may stand still for a while."""
_ABANDONED_S = 30.0
"""How long the object store may take to do a request that nobody waits for any more."""
_BACKOFF = Backoff(0.02, 0.5, factor=1.5)


class InUseError(Problem):
    """Another had the lock for longer than the caller would wait."""

    def __init__(self) -> None:
        super().__init__("storage_unavailable", "Objects of the same user and request id are being written or removed.")


class LockLostError(Problem):
    """Another may have the lock by now, and what was written under it may be gone."""

    def __init__(self) -> None:
        super().__init__("storage_unavailable", "Storing took too long; send it again.", retry_after=1)


@dataclass(frozen=True)
class LockName:
    """The name of a request, and what the keys of its job's artifacts begin with."""

    tenant: str
    user_id: str
    request_id: str
    prefixes: tuple[str, ...] = field(compare=False)


@dataclass(frozen=True)
class ArtifactLock:
    """A locked name. The token is new each time; `since` is by the store's clock.

    `inherited` where the one who had it before did not release it, and may have left objects.
    """

    name: LockName
    token: UUID
    since: datetime
    inherited: bool = False


class ArtifactLocks(Protocol):
    """Which names are locked. Every method raises Problem `store_unavailable`."""

    async def take(self, name: LockName, life_s: float) -> ArtifactLock | None:
        """Lock a name for so many seconds; None while another has it."""

    async def release(self, lock: ArtifactLock) -> None:
        """Let the next one have it."""

    async def leave(self, lock: ArtifactLock, life_s: float) -> None:
        """Let it lapse in so many seconds."""

    async def lapsed(self, limit: int) -> Sequence[LockName]:
        """Names that were not released in time: their writers died, or left requests behind."""


@dataclass
class HeldLock:
    """A lock that this process has, and what is to become of it.

    `clean`: what was begun is done. `dirty`: objects may be there that no outcome names yet. `busy`: a request to the
    object store may be under way. `spent`: the end of a job released it.
    """

    lock: ArtifactLock
    ends_at: float
    state: Literal["clean", "dirty", "busy", "spent"] = "clean"

    def check(self) -> None:
        """Raise Problem `storage_unavailable` where too little time is left, as after a standstill."""
        if time.monotonic() > self.ends_at - _LAST_S:
            raise LockLostError


def lock_name(request: NewJob) -> LockName:
    """The name under which the artifacts of a request are locked."""
    return LockName(request.tenant, request.user_id, request.request_id, prefixes_of(request))


@dataclass(frozen=True)
class ArtifactStore:
    """Writes and removes artifacts; those of one name by one at a time, in whatever process."""

    locks: ArtifactLocks
    jobs: JobStore
    artifacts: Bucket

    @asynccontextmanager
    async def held(self, request: NewJob | LockName, patience_s: float, size: int = 0) -> AsyncIterator[HeldLock]:
        """Hold the lock on a name while the context lasts; `size` bytes are to be written.

        Raises InUseError where another has it for longer than `patience_s`; Problem `store_unavailable`; where it was
        left with objects, ObjectsKeptError and Problem `storage_unavailable`.
        """
        name = request if isinstance(request, LockName) else lock_name(request)
        held = await self._take(name, patience_s, _LIFE_S + size / _BYTES_PER_S)
        try:
            if held.lock.inherited:
                await self.sweep(held)
            yield held
        finally:
            with anyio.CancelScope(shield=True), suppress(Problem):  # else it lapses
                await self._let_go(held)

    async def store(self, held: HeldLock, job: NewJob, artifacts: Sequence[Artifact]) -> tuple[StoredArtifact, ...]:
        """Write all at the same time; every write has ended when this returns or raises.

        Raises Problem `storage_unavailable`, `queue_full`.
        """
        with _at_work(held):
            writing = asyncio.ensure_future(self._write(job, artifacts))
            try:
                return await asyncio.shield(writing)
            except asyncio.CancelledError:
                await asyncio.wait([writing])
                held.state = "busy" if _is_abandoned(writing.exception()) else "dirty"
                raise

    async def sweep(self, held: HeldLock) -> None:
        """Remove what the outcome of the name's job does not name. Raises ObjectsKeptError once all else is gone.

        Some servers say that they have removed what they keep, so they are asked again.
        """
        with _at_work(held):
            if keys := await self._unnamed(held.lock.name):
                held.check()
                await self.artifacts.remove(keys)
                if left := await self._unnamed(held.lock.name):
                    raise ObjectsKeptError(dict.fromkeys(left, IN_SILENCE))
        held.state = "clean"

    async def _unnamed(self, name: LockName) -> list[str]:
        """Keys of the name's objects that no outcome names."""
        wanted = JobFilter(user_id=name.user_id, request_id=name.request_id, limit=1, tenant=name.tenant)
        outcomes = [job.outcome for job in await self.jobs.find(wanted) if job.outcome]
        named = {artifact.key for outcome in outcomes for artifact in outcome.artifacts}
        found = [(prefix, await keys_of(self.artifacts, prefix)) for prefix in name.prefixes]
        own = [key for prefix, keys in found for key in keys if "/" not in key.removeprefix(prefix)]
        return [key for key in own if key not in named]

    async def _write(self, job: NewJob, artifacts: Sequence[Artifact]) -> tuple[StoredArtifact, ...]:
        written = await asyncio.gather(*(self._put(job, artifact) for artifact in artifacts), return_exceptions=True)
        for result in sorted(written, key=_is_abandoned, reverse=True):
            if isinstance(result, BaseException):
                raise result
        return tuple(result for result in written if isinstance(result, StoredArtifact))

    async def _put(self, job: NewJob, artifact: Artifact) -> StoredArtifact:
        key = object_key(job, artifact.name)
        await self.artifacts.put(key, artifact.data, artifact.media_type)
        return StoredArtifact(artifact.name, key, artifact.media_type, len(artifact.data))

    async def _take(self, name: LockName, patience_s: float, life_s: float) -> HeldLock:
        gives_up_at = time.monotonic() + patience_s
        for pause_s in _BACKOFF.pauses():
            ends_at = time.monotonic() + life_s
            if lock := await self.locks.take(name, life_s):
                return HeldLock(lock, ends_at)
            if time.monotonic() + pause_s > gives_up_at:
                raise InUseError
            await asyncio.sleep(pause_s)
        raise InUseError

    async def _let_go(self, held: HeldLock) -> None:
        """What may be left is found by the next one, or by a janitor."""
        if held.state == "clean":
            await self.locks.release(held.lock)
        elif held.state != "spent":
            await self.locks.leave(held.lock, _ABANDONED_S if held.state == "busy" else 0.0)


async def keys_of(bucket: Bucket, prefix: str) -> list[str]:
    """The keys that begin so; none where the bucket is gone with all that it held."""
    try:
        return list(await bucket.keys(prefix))
    except ObjectMissingError:
        return []


@contextmanager
def _at_work(held: HeldLock) -> Iterator[None]:
    """Any answer ends a request, also a refusal; one without an answer may still reach the object store."""
    held.check()
    held.state = "busy"
    try:
        yield
    except ObjectsKeptError:  # whoever removes a job tries again
        held.state = "clean"
        raise
    except Problem as problem:
        held.state = "busy" if _is_abandoned(problem) else "dirty"
        raise
    held.state = "dirty"


def _is_abandoned(result: object) -> bool:
    return isinstance(result, UnansweredError)
