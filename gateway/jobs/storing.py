"""Artifacts into the bucket of masks and out of it again, under the keys of their job."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

import anyio

from gateway.errors import Problem
from gateway.jobs.bucket import Bucket, ObjectMissingError, ObjectsKeptError, UnansweredError
from gateway.jobs.holds import Grip, Holds, Name, name_of
from gateway.jobs.job import NewJob, StoredArtifact
from gateway.jobs.store import JobFilter, JobStore
from gateway.jobs.uploads import object_key
from gateway.results import Artifact
from gateway.retry import Backoff

IN_SILENCE = "without a word"
"""How some servers keep what they say is removed."""

_LIFE_S = 30.0
_BYTES_PER_S = 1024 * 1024
"""A hold lasts longer than writes and removals take: that, and what the object store is given for large objects."""
_ABANDONED_S = 30.0
"""How long a request that nobody waits for any more may still be done: as by an object store that stands still."""
_BACKOFF = Backoff(0.02, 0.5, factor=1.5)


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
        gives_up_at, pauses = time.monotonic() + patience_s, _BACKOFF.pauses()
        while True:
            ends_at = time.monotonic() + life_s
            if hold := await self.holds.take(name, life_s):
                return Grip(hold, ends_at)
            pause_s = next(pauses)
            if time.monotonic() + pause_s > gives_up_at:
                raise InUseError
            await asyncio.sleep(pause_s)

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
