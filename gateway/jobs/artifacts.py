"""Who may touch the objects of a request's name: one at a time, and written down before the first object is.

The keys of artifacts follow from user and request id, as callers rely on, so a deleted job's and its successor's are
the same. Whoever writes or removes such objects holds their name meanwhile. Under a hold, what the outcome of the
name's job does not name is nobody's, and may go: that of a deleted job, of a failed or late attempt, of a writer that
died.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

import anyio

from gateway.artifacts import Artifact
from gateway.jobs.job import NewJob, StoredArtifact
from gateway.jobs.objects import Bucket, ObjectMissingError, ObjectsKeptError, UnansweredError, object_key, prefixes_of
from gateway.jobs.store import JobFilter, JobStore
from gateway.problems import Problem

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


IN_SILENCE = "without a word"
"""How some servers keep what they say is removed."""

_LIFE_S = 30.0
_BYTES_PER_S = 1024 * 1024
"""A hold lasts longer than writes and removals take: that, and what the object store is given for large objects."""
_ABANDONED_S = 30.0
"""How long a request that nobody waits for any more may still be done: as by an object store that stands still."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 0.5


class InUseError(Problem):
    """Another is at the objects of the same name, for longer than somebody would wait."""

    def __init__(self) -> None:
        super().__init__("storage_unavailable", "Objects of the same user and request id are being written or removed.")


@dataclass(frozen=True)
class Keys:
    """Writes and removes artifacts, each name's by one at a time, whatever process it is in."""

    holds: Holds
    jobs: JobStore
    artifacts: Bucket

    @asynccontextmanager
    async def held(self, request: NewJob | Name, patience_s: float, size: int = 0) -> AsyncIterator[Grip]:
        """Hold a name while the context lasts; `size` bytes are to be written.

        Raises InUseError where another holds it for longer than the patience; Problem `store_unavailable`; where it was
        left with objects, ObjectsKeptError and Problem `storage_unavailable`.
        """
        name = request if isinstance(request, Name) else name_of(request)
        grip = await self._take(name, patience_s, _LIFE_S + size / _BYTES_PER_S)
        try:
            if grip.hold.inherited:
                await self.sweep(grip)
            yield grip
        finally:
            with anyio.CancelScope(shield=True), suppress(Problem):  # else it lapses
                await self._let_go(grip)

    async def store(self, grip: Grip, job: NewJob, artifacts: Sequence[Artifact]) -> tuple[StoredArtifact, ...]:
        """Write all at the same time; every write has ended when this returns or raises.

        Raises Problem `storage_unavailable`, `queue_full`.
        """
        with _at_work(grip):
            writing = asyncio.ensure_future(store_artifacts(self.artifacts, job, artifacts))
            try:
                return await asyncio.shield(writing)
            except asyncio.CancelledError:
                await asyncio.wait([writing])
                grip.state = "busy" if _is_abandoned(writing.exception()) else "dirty"
                raise

    async def sweep(self, grip: Grip) -> None:
        """Remove what the outcome of the name's job does not name. Raises ObjectsKeptError once all else is gone.

        Some servers say that they have removed what they keep, so they are asked again.
        """
        with _at_work(grip):
            if keys := await self._nobodys(grip.hold.name):
                grip.check()
                await self.artifacts.remove(keys)
                if left := await self._nobodys(grip.hold.name):
                    raise ObjectsKeptError(dict.fromkeys(left, IN_SILENCE))
        grip.state = "clean"

    async def _nobodys(self, name: Name) -> list[str]:
        wanted = JobFilter(user_id=name.user_id, request_id=name.request_id, limit=1, tenant=name.tenant)
        outcomes = [job.outcome for job in await self.jobs.find(wanted) if job.outcome]
        named = {artifact.key for outcome in outcomes for artifact in outcome.artifacts}
        found = [(prefix, await keys_of(self.artifacts, prefix)) for prefix in name.prefixes]
        own = [key for prefix, keys in found for key in keys if "/" not in key.removeprefix(prefix)]
        return [key for key in own if key not in named]

    async def _take(self, name: Name, patience_s: float, life_s: float) -> Grip:
        gives_up_at, pause_s = time.monotonic() + patience_s, _FIRST_PAUSE_S
        while True:
            ends_at = time.monotonic() + life_s
            if hold := await self.holds.take(name, life_s):
                return Grip(hold, ends_at)
            if time.monotonic() + pause_s > gives_up_at:
                raise InUseError
            await asyncio.sleep(pause_s)
            pause_s = min(1.5 * pause_s, _LONGEST_PAUSE_S)

    async def _let_go(self, grip: Grip) -> None:
        """What may be left is found by the next one, or by a janitor."""
        if grip.state == "clean":
            await self.holds.release(grip.hold)
        elif grip.state != "spent":
            await self.holds.leave(grip.hold, _ABANDONED_S if grip.state == "busy" else 0.0)


async def store_artifacts(bucket: Bucket, job: NewJob, artifacts: Sequence[Artifact]) -> tuple[StoredArtifact, ...]:
    """Write all at the same time; every write has ended when this returns or raises.

    Raises Problem `storage_unavailable`, `queue_full`.
    """
    written = await asyncio.gather(*(_put(bucket, job, artifact) for artifact in artifacts), return_exceptions=True)
    for result in sorted(written, key=_is_abandoned, reverse=True):
        if isinstance(result, BaseException):
            raise result
    return tuple(result for result in written if isinstance(result, StoredArtifact))


async def keys_of(bucket: Bucket, prefix: str) -> list[str]:
    """The keys that begin so; none where the bucket is gone with all that it held."""
    try:
        return list(await bucket.keys(prefix))
    except ObjectMissingError:
        return []


@contextmanager
def _at_work(grip: Grip) -> Iterator[None]:
    """What ends with an answer, whatever it is, is over; what was abandoned may still reach the object store."""
    grip.check()
    grip.state = "busy"
    try:
        yield
    except ObjectsKeptError:  # whoever removes a job tries again
        grip.state = "clean"
        raise
    except Problem as problem:
        grip.state = "busy" if _is_abandoned(problem) else "dirty"
        raise
    grip.state = "dirty"


def _is_abandoned(result: object) -> bool:
    return isinstance(result, UnansweredError)


async def _put(bucket: Bucket, job: NewJob, artifact: Artifact) -> StoredArtifact:
    key = object_key(job, artifact.name)
    await bucket.put(key, artifact.data, artifact.media_type)
    return StoredArtifact(artifact.name, key, artifact.media_type, len(artifact.data))
