"""Photos and artifacts as objects: their buckets, their keys, and how artifacts are written and removed.

The keys of artifacts follow from user and request id, as callers rely on, so a deleted job and its successor have the
same keys. Whoever writes or removes such objects locks their name before the first of them. What the outcome of the
name's job does not name may then go: it is of a deleted job, of a failed or late attempt, or of a writer that died.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Literal, Protocol
from urllib.parse import quote
from uuid import UUID

import anyio

from gateway.errors import Problem
from gateway.jobs.job import ArtifactLock, JobFilter, LockName, NewJob, StoredArtifact, is_upload
from gateway.jobs.store import ArtifactLocks, JobStore
from gateway.pipelines.outputs import Artifact
from gateway.timing import Backoff
from vision.photo import inspect

_NAMED = 3


class ObjectMissingError(LookupError):
    """There is no object under the key."""


class ObjectsKeptError(Problem):
    """The store answers, but keeps objects that were to be removed: under a legal hold, or for want of a right.

    `kept` says why, by key.
    """

    def __init__(self, kept: Mapping[str, str]) -> None:
        named = "; ".join(f"{key} ({reason})" for key, reason in list(kept.items())[:_NAMED])
        more = f"; and {len(kept) - _NAMED} more" if len(kept) > _NAMED else ""
        super().__init__("storage_unavailable", f"S3 keeps {named}{more}")
        self.kept = kept


class UnansweredError(Problem):
    """The store was asked, and did not answer in time: what it was asked for may still be done."""

    def __init__(self, detail: str, retry_after: int) -> None:
        super().__init__("storage_unavailable", detail, retry_after=retry_after)


@dataclass(frozen=True)
class StoredObject:
    """An object's content."""

    data: bytes
    media_type: str


class Bucket(Protocol):
    """Objects by key, written whole or not at all.

    Every method raises Problem `storage_unavailable` where the store cannot be reached in time.
    """

    async def put(self, key: str, data: bytes, media_type: str) -> None:
        """Write an object. In memory, Problem `queue_full` where it does not fit."""

    async def get(self, key: str) -> StoredObject:
        """Read an object. Raises ObjectMissingError."""

    async def remove(self, keys: Sequence[str]) -> None:
        """Remove objects for good; missing ones count as removed.

        Raises ObjectsKeptError once all others are gone.
        """

    async def keys(self, prefix: str) -> list[str]:
        """Every key that begins with the prefix."""

    async def check(self) -> None:
        """Return where the store answers."""


_SAFE = "@:"
_NO_USER = "_"
_TENANT_MARK = "!"
"""Never in a quoted text."""
_PARAMETERS = ".parameters"
_SEGMENT_BYTES = 255
"""A file system's limit on a name, which MinIO and SeaweedFS pass on.

Three segments, and a tenant of 63 characters before them, stay below S3's 1024 bytes.
"""


def artifact_key(user_id: str, request_id: str, name: str, tenant: str = "") -> str:
    """`user/request/name`, each percent-quoted, below what the tenant's keys begin with.

    No two different artifacts share a key.
    """
    return f"{tenant_prefix(tenant)}{segment(user_id)}/{segment(request_id)}/{segment(name)}"


def tenant_prefix(tenant: str) -> str:
    """What the keys of a tenant's artifacts begin with, and no other tenant's; nothing for the empty tenant."""
    return f"{_TENANT_MARK}{tenant}/" if tenant else ""


def is_of_tenant(key: str, tenant: str) -> bool:
    """Whether an object may be read by a tenant: by its key it is that tenant's own."""
    return tenant_of(key) == tenant


def tenant_of(key: str) -> str:
    """The tenant whose own an object is by its key; empty for those of none."""
    return key[len(_TENANT_MARK) :].partition("/")[0] if key.startswith(_TENANT_MARK) else ""


def segment(text: str) -> str:
    """A text as one part of a key; `_` for the empty one."""
    if not text:
        return _NO_USER
    misread = text == _NO_USER or not text.strip(".")
    quoted = _quoted_through(text) if misread else quote(text, safe=_SAFE)
    return quoted if len(quoted) <= _SEGMENT_BYTES else _digest(text)


def photo_key(job_id: UUID) -> str:
    """A job's photo, in the bucket of photos."""
    return str(job_id)


def parameters_key(job_id: UUID) -> str:
    """A job's parameters, in the bucket of photos, where they are too large for the queue."""
    return f"{job_id}{_PARAMETERS}"


def owner_of(key: str) -> UUID | None:
    """The job whose photo or parameters a key of that bucket is; None for what others keep there."""
    try:
        return UUID(key.removesuffix(_PARAMETERS))
    except ValueError:
        return None


def _quoted_through(text: str) -> str:
    """Every character quoted, for what would be read as no user or as a step up the path."""
    return "".join(f"%{byte:02X}" for byte in text.encode())


def _digest(text: str) -> str:
    """A fixed length for what is too long; `=` is never in a quoted text."""
    return f"={hashlib.sha256(text.encode()).hexdigest()}"


UPLOAD_PIPELINE = "privacy_blur"
ORIGINAL, BLURRED = "original", "blurred"
"""Names of the photo's and its copy's artifacts, without the suffixes of their formats."""
LONGEST_BATCH_S = 3600.0
"""Within this time the last photo of a batch must come; until then the first one lies there without a job."""

_PROCESSED = "processed"
_SUFFIXES = {"jpeg": "jpg"}


def image_of(artifacts: Sequence[StoredArtifact], stem: str) -> StoredArtifact | None:
    """The photo (ORIGINAL) or its copy (BLURRED), whatever its format."""
    return next((artifact for artifact in artifacts if artifact.name.partition(".")[0] == stem), None)


def with_original(request: NewJob, photo: bytes, artifacts: Sequence[Artifact]) -> Sequence[Artifact]:
    """What is kept of a job that made these artifacts: of an upload that was not refused, its photo too.

    `photo` is one that was checked.
    """
    if not is_upload(request) or not artifacts:
        return artifacts
    return (Artifact(f"{ORIGINAL}.{_suffix(photo)}", photo), *artifacts)


def object_key(request: NewJob, name: str) -> str:
    """Under which key an artifact is kept; keys of uploads have one segment less than all others.

    Of an upload they are `processed/ID.jpg`, `processed/ID.blur.json` and `original/ID_SECRET.jpg`, so that
    somebody who was given the copy cannot guess where the photo is, even if the bucket is open to all.
    """
    if not is_upload(request):
        return artifact_key(request.user_id, request.request_id, name, request.tenant)
    stem, _, suffix = name.partition(".")
    if stem == ORIGINAL:
        kept = f"{ORIGINAL}/{request.id}_{segment(request.request_id)}.{segment(suffix)}"
    else:
        kept = f"{_PROCESSED}/{request.id}.{segment(suffix if stem == BLURRED else name)}"
    return tenant_prefix(request.tenant) + kept


def input_keys(request: NewJob) -> tuple[str, ...]:
    """Keys of what is kept in the bucket of photos for a job: its photo, and its parameters where they are large."""
    photo = (request.image.location,) if request.image.kind == "photo" else ()
    return (*photo, parameters_key(request.id)) if request.parameters_stored else photo


def prefixes_of(request: NewJob) -> tuple[str, ...]:
    """What the keys of the artifacts of a request's job begin with."""
    if is_upload(request):
        own = (f"{ORIGINAL}/{request.id}_", f"{_PROCESSED}/{request.id}.")
        return tuple(tenant_prefix(request.tenant) + prefix for prefix in own)
    key = artifact_key(request.user_id, request.request_id, "any", request.tenant)
    return (key.rpartition("/")[0] + "/",)


def _suffix(photo: bytes) -> str:
    kind = inspect(photo, max_pixels=None).format
    return _SUFFIXES.get(kind, kind)


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
    async def held(self, request: NewJob | LockName, wait_s: float, size: int = 0) -> AsyncIterator[HeldLock]:
        """Hold the lock on a name while the context lasts; `size` bytes are to be written.

        Raises InUseError where another has it for longer than `wait_s`; Problem `store_unavailable`; where it was
        left with objects, ObjectsKeptError and Problem `storage_unavailable`.
        """
        name = request if isinstance(request, LockName) else lock_name(request)
        held = await self._take(name, wait_s, _LIFE_S + size / _BYTES_PER_S)
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

    async def _take(self, name: LockName, wait_s: float, life_s: float) -> HeldLock:
        gives_up_at = time.monotonic() + wait_s
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
