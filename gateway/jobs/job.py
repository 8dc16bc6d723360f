"""A job, from the request to its outcome; what makes requests equal; ids and trace headers."""

import hashlib
import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from gateway.cache.cache import CachedResult
from gateway.errors import Problem
from gateway.results import Failure

JobState = Literal["queued", "running", "completed", "failed", "deleting"]
FINISHED: frozenset[JobState] = frozenset({"completed", "failed"})
ImageKind = Literal["photo", "url", "s3"]
CallbackKind = Literal["message", "webhook", "upload"]

UNCOUNTED = "frontal:loadtest"
"""The source of a job that the cache's metrics leave out."""
_AMID_WRITES = frozenset({"cancelled", "attempts_exhausted", "storage_unavailable", "queue_full", "internal_error"})
"""Codes of failures that may come while artifacts are written."""


@dataclass(frozen=True)
class ImageReference:
    """Where a job's photo is: `photo`, a key of the photo bucket; `url`; or `s3`, bucket/key."""

    kind: ImageKind
    location: str


@dataclass(frozen=True)
class Callback:
    """Who is told of the outcome: `message`, a Kafka topic; `webhook` and `upload`, a URL."""

    kind: CallbackKind
    destination: str


@dataclass(frozen=True)
class Waiting:
    """How many there are, and the age of the oldest in seconds; 0 where there is none."""

    count: int = 0
    oldest_s: float = 0.0


@dataclass(frozen=True)
class StoredArtifact:
    """An artifact in the bucket of masks; `name` as in `upper_body_mask.png`, `size` in bytes."""

    name: str
    key: str
    media_type: str
    size: int


@dataclass(frozen=True)
class Outcome:
    """How a job ended: the model's result and the artifacts, or a failure. `timings_ms` by stage."""

    result: Mapping[str, object] = field(default_factory=dict)
    artifacts: tuple[StoredArtifact, ...] = ()
    failure: Failure | None = None
    timings_ms: Mapping[str, float] = field(default_factory=dict)

    @property
    def state(self) -> JobState:
        """`completed` or `failed`."""
        return "failed" if self.failure else "completed"

    @property
    def leaves_objects(self) -> bool:
        """Whether objects that no artifact names may be there, or may still come."""
        return self.failure is not None and self.failure.code in _AMID_WRITES

    @property
    def cached(self) -> bool:
        """Whether it was there before."""
        return self.result.get("cached") is True

    @property
    def processing_ms(self) -> float:
        """What the work took, without the wait in the queue."""
        return round(sum(spent for stage, spent in self.timings_ms.items() if stage != "queue"), 1)


@dataclass(frozen=True)
class NewJob:
    """A job to be queued; one with an `outcome` ends at once.

    `user_id` is empty where the caller named none. `parameters` is the JSON object that the Triton model takes; empty
    where it was not read, and where it is an object of the bucket of photos, as `parameters_stored` says.
    `fingerprint` is equal for equal requests alone. `source` says where it came from, such as `http` or
    `kafka:mask_input/0/17`. `gender` is what the caller said, if anything. `tenant` is empty for all who name none.
    `batch_id` is that of the jobs that came together, where they did. `lock` is as a lease's, of one with an outcome.
    """

    id: UUID
    pipeline: str
    user_id: str
    request_id: str
    fingerprint: bytes
    parameters: str
    image: ImageReference
    source: str
    trace_id: str
    gender: str | None = None
    priority: int = 0
    callbacks: tuple[Callback, ...] = ()
    outcome: Outcome | None = None
    tenant: str = ""
    batch_id: UUID | None = None
    lock: UUID | None = None
    parameters_stored: bool = False

    @property
    def owner(self) -> str:
        """Whose jobs run in their order: a user of a tenant; empty where the caller named no user."""
        return f"{self.tenant}/{self.user_id}" if self.user_id else ""

    @property
    def counted(self) -> bool:
        """Whether the cache's hits and misses count the job."""
        return self.source != UNCOUNTED


@dataclass(frozen=True)
class Job:
    """A job as the store has it. `sequence` orders jobs by their coming; `attempts` counts the started ones.

    `deleting` is the state of a deleted job until the last of its objects is gone; `last_failure` is then why some are
    not.
    """

    request: NewJob
    sequence: int
    state: JobState
    attempts: int
    created_at: datetime
    run_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    outcome: Outcome | None
    last_failure: Failure | None

    @property
    def id(self) -> UUID:
        """The request's id."""
        return self.request.id

    @property
    def finished(self) -> bool:
        """Whether it has its outcome."""
        return self.outcome is not None


@dataclass(frozen=True)
class Lease:
    """A worker's right to end a job, until it expires or is given up; `token` is new with every claim.

    `lock` is the token of the lock under which the job's artifacts were written, if any were.
    """

    job: Job
    token: UUID
    lock: UUID | None = None


def outcome_of(
    value: CachedResult, stored: tuple[StoredArtifact, ...], timings_ms: Mapping[str, float], *, cached: bool
) -> Outcome:
    """The outcome of a job with this result; one that came from the cache says so."""
    result = {**value.result, "cached": True} if cached else value.result
    return Outcome(result, stored, value.failure, timings_ms)


ID_CHARACTERS = 128
_OPTIONAL = frozenset({"user_id"})
_REFUSED = {"Cc": "control characters", "Cs": "lone surrogates"}
"""General categories of the Unicode standard: what no log line, message key or text column should hold."""


def fingerprint(
    pipeline: str, parameters: str, image: bytes | ImageReference, callbacks: Sequence[Callback] = ()
) -> bytes:
    """A SHA-256 that is equal for equal requests: same model, same parameters in any order, same photo, same callbacks.

    `parameters` is a JSON object.
    """
    photo = [hashlib.sha256(image).hexdigest()] if isinstance(image, bytes) else [image.kind, image.location]
    told = [[callback.kind, callback.destination] for callback in callbacks]
    text = json.dumps([pipeline, json.loads(parameters), photo, told], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()


def check_id(field: str, value: str) -> str:
    """The value, where it can be an id: 1–128 characters, none of them control characters; `user_id` may be empty.

    Raises Problem `invalid_parameters`, which names the field.
    """
    if not value and field not in _OPTIONAL:
        raise Problem("invalid_parameters", f"{field}: must not be empty")
    if len(value) > ID_CHARACTERS:
        raise Problem("invalid_parameters", f"{field}: at most {ID_CHARACTERS} characters are accepted")
    for character in value:
        if refused := _REFUSED.get(unicodedata.category(character)):
            raise Problem("invalid_parameters", f"{field}: must not hold {refused}")
    return value


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC, as in 2025-11-26T12:00:00.123456Z; a time without a zone is taken as UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat().replace("+00:00", "Z")
