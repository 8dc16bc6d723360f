"""A job, from the request to its outcome; how jobs are looked for and counted; what makes requests equal."""

import hashlib
import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from gateway.cache.cache import CachedResult
from gateway.errors import Problem
from gateway.pipelines.outputs import Failure

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


@dataclass(frozen=True)
class SubmittedJob:
    """What became of a submitted job: `created`; `known`, the same request came before; `conflict`, its id did.

    `job` is the one that is kept: the earlier one where it was not created.
    """

    job: Job
    result: Literal["created", "known", "conflict"]


@dataclass(frozen=True)
class JobFilter:
    """Which jobs of a tenant to list, the newest first; `before` is the `sequence` where the page before ended.

    Without `deleting`, none of those that are being deleted.
    """

    state: JobState | None = None
    user_id: str | None = None
    request_id: str | None = None
    pipeline: str | None = None
    before: int | None = None
    limit: int = 50
    tenant: str = ""
    batch_id: UUID | None = None
    deleting: bool = False


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


@dataclass(frozen=True)
class QueueCounts:
    """Jobs by state, and the inferences that live workers can have under way."""

    queued: int
    running: int
    workers: int


@dataclass(frozen=True)
class TenantCounts:
    """A tenant's `queued` jobs; and how many `tenants` have unfinished ones, this tenant always included."""

    queued: int
    tenants: int


@dataclass(frozen=True)
class Standing:
    """Jobs that are not over, and the age of the oldest: `queued` since it came, `running` since its attempt began.

    `failing` counts the jobs whose objects S3 has refused to remove.
    """

    queued: Waiting = field(default_factory=Waiting)
    running: Waiting = field(default_factory=Waiting)
    deleting: Waiting = field(default_factory=Waiting)
    failing: int = 0


RECENT_S = 60
"""How far back `Recent` looks."""


@dataclass(frozen=True)
class Recent:
    """Jobs that ended within the last RECENT_S seconds.

    `latency_s` is the mean time of the completed ones from their coming to their end.
    """

    completed: int
    failed: int
    latency_s: float | None

    @property
    def per_second(self) -> float:
        """How many ended in a second."""
        return (self.completed + self.failed) / RECENT_S

    @property
    def success_rate(self) -> float | None:
        """Share of them that completed; None where none ended."""
        ended = self.completed + self.failed
        return self.completed / ended if ended else None


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


FROM_KAFKA, _FROM_UPLOAD = "kafka:", "upload:"
"""How the sources of such jobs begin."""


def dead_letter_origin(job: Job, failure: Failure | None) -> str | None:
    """Where the message came from, if the job came as one and failed in vain: not by its sender's mistake."""
    source = job.request.source
    if failure is None or not source.startswith(FROM_KAFKA):
        return None
    return source.removeprefix(FROM_KAFKA) if Problem(failure.code, failure.detail).transient else None


def upload_source(file_name: str) -> str:
    """The source of a job that came as such a file."""
    return f"{_FROM_UPLOAD}{file_name}"


def is_upload(request: NewJob) -> bool:
    """Whether a job came as a file."""
    return request.source.startswith(_FROM_UPLOAD)


def file_name(request: NewJob) -> str:
    """The name of the file that an upload came as."""
    return request.source.removeprefix(_FROM_UPLOAD)
