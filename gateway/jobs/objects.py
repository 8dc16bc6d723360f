"""Photos and artifacts as objects: the buckets that keep them, and the keys under which they are."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote
from uuid import UUID

from gateway.errors import Problem
from gateway.jobs.job import NewJob, StoredArtifact
from gateway.pipelines.outputs import Artifact
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

_SOURCE = "upload:"
_PROCESSED = "processed"
_SUFFIXES = {"jpeg": "jpg"}


def upload_source(file_name: str) -> str:
    """The source of a job that came as such a file."""
    return f"{_SOURCE}{file_name}"


def is_upload(request: NewJob) -> bool:
    """Whether a job came as a file."""
    return request.source.startswith(_SOURCE)


def file_name(request: NewJob) -> str:
    """The name of the file that an upload came as."""
    return request.source.removeprefix(_SOURCE)


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
