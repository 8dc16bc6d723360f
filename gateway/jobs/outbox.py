"""The outbox: what a job's outcome tells others, in messages, signed callbacks and uploads."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Literal, NamedTuple, Protocol
from urllib.parse import quote
from uuid import UUID, uuid5

from pydantic import BaseModel

from gateway.errors import Problem
from gateway.fetching.guard import parse_url
from gateway.jobs.job import (
    Callback,
    CallbackKind,
    ImageReference,
    Job,
    Outcome,
    StoredArtifact,
    Waiting,
    dead_letter_origin,
)
from gateway.logs import traceparent
from gateway.pipelines.outputs import Failure
from gateway.pipelines.parameters import canonical_gender
from gateway.settings import Settings
from gateway.timing import timestamp

DeliveryState = Literal["pending", "delivered", "failed"]
MOST_DUE = 64
"""So many of one lane are counted, as nobody takes more at once."""

_PORTS = {"http": 80, "https": 443}


class Lane(NamedTuple):
    """Deliveries of one kind and tenant to one receiver: a topic, or host:port of a URL.

    Each lane moves on its own: none waits for another one's receiver.
    """

    kind: CallbackKind
    receiver: str
    tenant: str


@dataclass(frozen=True)
class OutboxMessage:
    """One message or callback, with exactly the content that every attempt sends.

    `destination` is a topic or a URL. `key` is a message's key, a webhook's id. `tenant` is that of the job, empty for
    all who name none. `receiver` is as the outbox has it, which a version before may have written.
    """

    kind: CallbackKind
    destination: str
    key: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    tenant: str = ""
    receiver: str = field(default="", compare=False)

    @cached_property
    def lane(self) -> Lane:
        """The lane it goes in."""
        own = self.destination if self.kind == "message" else _receiver(self.destination)
        return Lane(self.kind, self.receiver or own, self.tenant)


class UploadBody(BaseModel):
    """An upload as the outbox keeps it: the form's fields, and the masks' keys by the names of their fields."""

    user_id: str
    job_id: str
    provider: str
    files: Mapping[str, str]


@dataclass(frozen=True)
class Delivery:
    """A delivery in the outbox. `attempts` counts the started ones; `last_error` is the latest one's.

    Whoever took it has the latest attempt: it is put back, and kept from others, by its number.
    """

    id: int
    job_id: UUID | None
    content: OutboxMessage
    state: DeliveryState
    attempts: int
    created_at: datetime
    run_at: datetime
    ended_at: datetime | None = None
    last_error: str | None = None


MessageMaker = Callable[[Job, Outcome], Sequence[OutboxMessage]]
"""Makes the messages that a job's outcome owes, in the order in which they are sent. The store calls it within the
transaction that ends the job."""


class Outbox(Protocol):
    """Deliveries kept until they are made. Every method raises Problem `store_unavailable`."""

    async def lanes(self, kind: CallbackKind, after: Lane | None, limit: int) -> Mapping[Lane, int]:
        """Lanes of a kind with pending deliveries, in their order, from the one after `after` on; `limit` at most.

        With each, how many of its deliveries are due: MOST_DUE at most.
        """

    async def take(self, shares: Mapping[Lane, int], lease_s: float) -> list[Delivery]:
        """Due deliveries, so many of each lane, its oldest first, kept from others for `lease_s` seconds.

        `attempts` counts this one.
        """

    async def renew(self, taken: Collection[Delivery], lease_s: float) -> frozenset[int]:
        """Keep deliveries that are still under way from others for longer.

        Returns the ids of those that nobody else took and that are still there.
        """

    async def delivered(self, ids: Sequence[int]) -> None:
        """Note deliveries that were made."""

    async def postpone(self, delivery: Delivery, reason: str, delay_s: float) -> bool:
        """Try again later. False, and nothing done, where it was taken anew or is gone."""

    async def give_up(self, delivery: Delivery, reason: str) -> bool:
        """Never try again, unless it is asked for. False as `postpone`."""

    async def of_job(self, job_id: UUID) -> list[Delivery]:
        """A job's deliveries in order, without their bodies (`b""`)."""

    async def standing(self) -> Mapping[CallbackKind, Waiting]:
        """Deliveries that are not made yet, by kind; the age since the outcome that owes them."""

    async def resend(self, job_id: UUID) -> int:
        """Make a job's failed deliveries pending again, with attempts from zero; how many there were."""


def _receiver(url: str) -> str:
    """Where a URL leads; the text itself where it is none, to which nothing can be sent."""
    try:
        parsed = parse_url(url)
    except Problem:
        return url
    netloc = parsed.netloc.decode("ascii")
    return netloc if parsed.port else f"{netloc}:{_PORTS[parsed.scheme]}"


class DeliveryError(Exception):
    """A delivery was not made; `lasting` where another attempt is useless; `retry_after_s` where a server named it."""

    def __init__(self, reason: str, *, lasting: bool = False, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.lasting = lasting
        self.retry_after_s = retry_after_s


class Sender(Protocol):
    """Makes deliveries of one kind."""

    @property
    def trouble(self) -> str | None:
        """What keeps deliveries under way for too long, in words; not the fault of one receiver."""

    async def deliver(self, delivery: Delivery) -> None:
        """Make one. Raises DeliveryError."""

    def delay_s(self, attempts: int) -> float | None:
        """Seconds to wait after so many failed attempts; None to give up."""


Link = Callable[[UUID, StoredArtifact], str]
"""The URL of a job's artifact."""
Links = Callable[[str], Link]
"""The links of an answer, or of a message, by what addresses of the gateway begin with there."""


def by_job(base: str) -> Link:
    """Links through the gateway, which asks who reads."""
    return lambda job_id, artifact: f"{base}/v1/jobs/{job_id}/artifacts/{quote(artifact.name)}"


def by_key(base: str) -> Link:
    """The same, where jobs are in memory."""
    return lambda _, artifact: f"{base}/v1/artifacts/{quote(artifact.key)}"


_UNFINISHED = Outcome()


def job_view(job: Job, deliveries: Sequence[Delivery] = (), *, link: Link) -> dict[str, object]:
    """The public JSON object of a job; times are RFC 3339 in UTC, `link` makes an artifact's URL."""
    outcome = job.outcome or _UNFINISHED
    artifacts = () if job.state == "deleting" else outcome.artifacts
    return {
        **_identity(job),
        **_progress(job),
        "timings_ms": dict(outcome.timings_ms),
        "error": _failure(outcome.failure),
        "last_error": _failure(job.last_failure),
        **_found(outcome),
        "artifacts": {
            artifact.name: {"url": link(job.id, artifact), "content_type": artifact.media_type, "bytes": artifact.size}
            for artifact in artifacts
        },
        "callbacks": [_callback(delivery) for delivery in deliveries],
    }


def _identity(job: Job) -> dict[str, object]:
    request = job.request
    return {
        "id": str(job.id),
        "pipeline": request.pipeline,
        "state": job.state,
        "user_id": request.user_id,
        "request_id": request.request_id,
        "source": request.source,
        "trace_id": request.trace_id,
        "priority": request.priority,
    }


def _progress(job: Job) -> dict[str, object]:
    return {
        "attempts": job.attempts,
        "created_at": timestamp(job.created_at),
        "started_at": _moment(job.started_at),
        "finished_at": _moment(job.finished_at),
    }


def _found(outcome: Outcome) -> Mapping[str, object]:
    """What the model found, such as photo and persons; its own status is the job's state."""
    return {name: value for name, value in outcome.result.items() if name != "status" and value is not None}


def _failure(failure: Failure | None) -> dict[str, str] | None:
    return {"code": failure.code, "detail": failure.detail} if failure else None


def _callback(delivery: Delivery) -> dict[str, object]:
    return {
        "id": delivery.id,
        "kind": delivery.content.kind,
        "destination": delivery.content.destination,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "last_error": delivery.last_error,
        "ended_at": _moment(delivery.ended_at),
    }


def _moment(moment: datetime | None) -> str | None:
    return timestamp(moment) if moment else None


_MASK = "_mask.png"
_UPLOADED = ("upper_body_mask", "lower_body_mask")
_FROM_PROCESS = "process:"
"""Of a job's source; what follows is the provider that the upload repeats."""


def message_maker(settings: Settings, link: Link) -> MessageMaker:
    """Makes the deliveries that a job's outcome owes; `link` makes an artifact's URL."""

    def messages_of(job: Job, outcome: Outcome) -> Sequence[OutboxMessage]:
        finished = job.finished_at or datetime.now(UTC)
        ended = replace(job, state=outcome.state, outcome=outcome, finished_at=finished)
        owed = _deliveries(ended, outcome, settings, link)
        return [replace(delivery, tenant=job.request.tenant) for delivery in owed]

    return messages_of


def _deliveries(job: Job, outcome: Outcome, settings: Settings, link: Link) -> Iterator[OutboxMessage]:
    for callback in job.request.callbacks:
        if callback.kind == "message":
            yield _message(job, outcome, callback, link)
        elif callback.kind == "webhook":
            yield _webhook(job, callback, link)
        elif outcome.failure is None:
            yield _upload(job, outcome, callback)
    origin = dead_letter_origin(job, outcome.failure)
    if origin and outcome.failure:
        yield _dead_letter(job, outcome.failure, origin, settings)


def _message(job: Job, outcome: Outcome, callback: Callback, link: Link) -> OutboxMessage:
    body = {
        **_who(job),
        "status": outcome.state,
        **({"error": f"{outcome.failure.code}: {outcome.failure.detail}"} if outcome.failure else {}),
        "mask_paths": _mask_paths(job, outcome, link),
        "processed_at": _processed_at(job),
    }
    return OutboxMessage("message", callback.destination, _key(job), _json(body), _message_headers(job))


def _dead_letter(job: Job, failure: Failure, origin: str, settings: Settings) -> OutboxMessage:
    """The input message again, its photo as a reference."""
    request = job.request
    body = {**json.loads(request.parameters), **_who(job), "image": _image(request.image, settings)}
    headers = {
        **_message_headers(job),
        "reason": failure.code,
        "detail": failure.detail,
        "attempts": str(job.attempts),
        "origin": origin,
    }
    return OutboxMessage("message", settings.kafka_topic_poison, _key(job), _json(body), headers)


def _webhook(job: Job, callback: Callback, link: Link) -> OutboxMessage:
    """The id is the content's, so that a job that was done anew is another event."""
    event = {
        "type": f"job.{job.state}",
        "timestamp": _processed_at(job),
        "tenant": job.request.tenant,
        "data": job_view(job, link=link),
    }
    body = _json(event)
    message_id = f"msg_{uuid5(job.id, callback.destination + body.decode()).hex}"
    return OutboxMessage("webhook", callback.destination, message_id, body, _headers(job))


def _upload(job: Job, outcome: Outcome, callback: Callback) -> OutboxMessage:
    keys = {artifact.name.removesuffix(".png"): artifact.key for artifact in outcome.artifacts}
    form = UploadBody(
        user_id=job.request.user_id,
        job_id=job.request.request_id,
        provider=job.request.source.removeprefix(_FROM_PROCESS),
        files={field: keys[field] for field in _UPLOADED if field in keys},
    )
    return OutboxMessage("upload", callback.destination, str(job.id), form.model_dump_json().encode(), _headers(job))


def _who(job: Job) -> dict[str, object]:
    gender = job.request.gender
    return {
        "user_id": job.request.user_id,
        "gender": canonical_gender(gender) if gender else None,
        "request_id": job.request.request_id,
    }


def _mask_paths(job: Job, outcome: Outcome, link: Link) -> Mapping[str, str]:
    """By mask type; of several people, by person_0/mask type."""
    masks = [artifact for artifact in outcome.artifacts if artifact.name.endswith(_MASK)]
    return {mask.name.removesuffix(_MASK): link(job.id, mask) for mask in masks}


def _image(image: ImageReference, settings: Settings) -> dict[str, str]:
    if image.kind == "url":
        return {"type": "url", "data": image.location}
    bucket = f"{settings.minio_photo_bucket}/" if image.kind == "photo" else ""
    return {"type": "s3", "data": f"s3://{bucket}{image.location}"}


def _processed_at(job: Job) -> str | None:
    return timestamp(job.finished_at) if job.finished_at else None


def _key(job: Job) -> str:
    return job.request.user_id or job.request.request_id


def _message_headers(job: Job) -> dict[str, str]:
    return {"job_id": str(job.id), **_headers(job)}


def _headers(job: Job) -> dict[str, str]:
    return {"traceparent": traceparent(job.request.trace_id, job.id)}


def _json(body: Mapping[str, object]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()
