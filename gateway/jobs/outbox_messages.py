"""The messages that a job's outcome owes: to Kafka's topics, to webhooks, and to the mask asset service."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid5

from gateway.jobs.job import Callback, ImageReference, Job, Outcome, dead_letter_origin
from gateway.jobs.outbox import MessageMaker, OutboxMessage, UploadBody
from gateway.jobs.view import Link, job_view
from gateway.logs import traceparent
from gateway.pipelines.outputs import Failure
from gateway.pipelines.parameters import canonical_gender
from gateway.settings import Settings
from gateway.timing import timestamp

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
