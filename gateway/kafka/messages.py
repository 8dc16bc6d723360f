"""Messages of the input topic: read as jobs or dead letters, and kept with their photos."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from uuid import UUID, uuid5

from gateway.errors import Problem
from gateway.intake.requests import JobFields, checked_image
from gateway.intake.submissions import Image, json_image, json_members, missing_image
from gateway.jobs.job import (
    FROM_KAFKA,
    Callback,
    ImageReference,
    Job,
    JobFilter,
    NewJob,
    Outcome,
    SubmittedJob,
    check_id,
    dead_letter_origin,
    fingerprint,
)
from gateway.jobs.objects import Bucket, ObjectMissingError, photo_key
from gateway.jobs.outbox import OutboxMessage
from gateway.jobs.store import BadMessage, DeadLetters, JobStore
from gateway.logs import trace_id_of
from gateway.metrics.instruments import TaskMetrics
from gateway.pipelines.outputs import Failure
from gateway.pipelines.parameters import canonical_gender
from gateway.pipelines.registry import Pipeline, parameters_json
from gateway.pipelines.validation import validated
from gateway.s3.buckets import check_owner, waiting_photo
from gateway.settings import Settings

_NAMESPACE = UUID("5a3a1f0e-6a2d-5d0e-9c55-0d8f2b1c7e44")
_ATTEMPTS_DIGITS = 6
_GENDER_CHARACTERS = 32
_PUTS = 8
_MEDIA_TYPE = "application/octet-stream"


@dataclass(frozen=True)
class Message:
    """A message of a topic; `timestamp` in ms since 1970, as its producer or the broker set it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        """topic/partition/offset."""
        return f"{self.topic}/{self.partition}/{self.offset}"

    @cached_property
    def job_id(self) -> UUID:
        """The same every time the message is delivered, and different for every other message.

        It depends on time and content, because a topic that was made again counts its offsets from zero.
        """
        content = hashlib.sha256(self.value or b"").hexdigest()
        return uuid5(_NAMESPACE, f"{self.origin}/{self.timestamp}/{content}")

    @property
    def attempts(self) -> int:
        """How often it was tried before, by the header of the poison topic's messages; 0 without it."""
        given = self.headers.get("attempts", b"")
        return int(given) if given.isdigit() and len(given) <= _ATTEMPTS_DIGITS else 0

    @property
    def trace_id(self) -> str:
        """The id of the header `traceparent`, or else the job's own."""
        given = self.headers.get("traceparent", b"").decode("ascii", "replace")
        return trace_id_of(given) or self.job_id.hex


@dataclass(frozen=True)
class Arrival:
    """A message, the job to be queued for it, and the photo to be stored before that, if the message holds one."""

    message: Message
    job: NewJob
    photo: bytes | None = None

    @property
    def recalls(self) -> UUID | None:
        """The job whose photo the message names, as messages from the poison topic do."""
        image = self.job.image
        is_others = image.kind == "photo" and image.location != photo_key(self.job.id)
        return UUID(image.location) if is_others else None

    def with_photo(self, photo: bytes) -> "Arrival":
        """The arrival as if the message held this photo."""
        job = self.job
        same = fingerprint(job.pipeline, job.parameters, photo, job.callbacks)
        return Arrival(self.message, replace(job, image=_stored(self.message), fingerprint=same), photo)


@dataclass(frozen=True)
class _Asked:
    """A checked request."""

    parameters: str
    image: Image
    priority: int


class MessageReader:
    """Reads messages as requests to one pipeline; it waits for nothing and keeps nothing."""

    def __init__(self, settings: Settings, pipeline: Pipeline) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._callbacks = (Callback("message", settings.kafka_topic_output),)

    def read(self, message: Message) -> Arrival | BadMessage:
        """A job; a job that has failed, if the caller can be told of it; or else a dead letter. Raises nothing."""
        try:
            members = _members(message.value)
            user_id, request_id = _identity(members, message)
        except Problem as problem:
            return self.dead_letter(message, Failure(problem.code, without_control_characters(problem.detail)))
        return self._arrival(message, members, user_id, request_id)

    def dead_letter(self, message: Message, failure: Failure) -> BadMessage:
        """The dead letter of a message that no job is made of."""
        return dead_letter_of(message, failure, self._settings.kafka_topic_poison)

    def _arrival(self, message: Message, members: Mapping[str, object], user_id: str, request_id: str) -> Arrival:
        try:
            asked, failure = self._asked(members), None
        except Problem as problem:
            asked = _Asked("{}", message.value or b"", 0)
            failure = Failure(problem.code, without_control_characters(problem.detail))
        photo = asked.image if isinstance(asked.image, bytes) else None
        job = NewJob(
            id=message.job_id,
            pipeline=self._pipeline.name,
            user_id=user_id,
            request_id=request_id,
            fingerprint=fingerprint(self._pipeline.name, asked.parameters, asked.image, self._callbacks),
            parameters=asked.parameters,
            image=asked.image if isinstance(asked.image, ImageReference) else _stored(message),
            source=f"kafka:{message.origin}",
            trace_id=message.trace_id,
            gender=_gender(members),
            priority=asked.priority,
            callbacks=self._callbacks,
            outcome=Outcome(failure=failure) if failure else None,
            tenant=self._settings.kafka_tenant,
        )
        return Arrival(message, job, None if failure else photo)

    def _asked(self, members: Mapping[str, object]) -> _Asked:
        """The checked request; other members are ignored. Raises Problem."""
        image = json_image(members["image"])
        priority = validated(JobFields, {"priority": members.get("priority")}).priority
        own = {name: members[name] for name in self._pipeline.parameters.model_fields if name in members}
        parameters = parameters_json(self._pipeline, own).decode()
        if isinstance(image, bytes) and len(image) > self._settings.max_body_bytes:
            limit = self._settings.max_body_bytes
            raise Problem("body_too_large", f"The photo has {len(image)} bytes; at most {limit} are accepted.")
        if key := waiting_photo(image, self._settings):
            return _Asked(parameters, ImageReference("photo", key), priority)
        checked = checked_image(image, self._settings)
        check_owner(checked, self._settings.kafka_tenant, self._settings)
        return _Asked(parameters, checked, priority)


def dead_letter_of(message: Message, failure: Failure, topic: str) -> BadMessage:
    """The message with its failure, and what goes to the poison topic: key and value, and the failure in headers."""
    value = message.value or b""
    attempts = message.attempts + 1
    headers = {"reason": failure.code, "detail": failure.detail, "attempts": str(attempts), "origin": message.origin}
    outbox_message = OutboxMessage("message", topic, _text(message.key), value, headers)
    return BadMessage(message.origin, message.key, value, failure, outbox_message, attempts)


def _text(key: bytes | None) -> str:
    """Text that a database keeps: bytes that are not UTF-8 are written with backslashes."""
    return (key or b"").decode("utf-8", "backslashreplace").replace("\0", "\\x00")


def without_control_characters(text: str) -> str:
    """Text for any log, header and database: characters that cannot be shown are replaced."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _members(value: bytes | None) -> Mapping[str, object]:
    if value is None:
        raise Problem("invalid_json", "The message has no value.")
    return json_members(value)


def _identity(members: Mapping[str, object], message: Message) -> tuple[str, str]:
    """user_id and request_id; the latter is made of the job's id if the message has none.

    Raises Problem `invalid_parameters`, `missing_image`.
    """
    ids = validated(JobFields, {name: members.get(name) for name in ("user_id", "request_id")})
    if not ids.user_id:
        raise Problem("invalid_parameters", "user_id: required")
    if members.get("image") is None:
        raise missing_image('the member "image"')
    return check_id("user_id", ids.user_id), check_id("request_id", ids.request_id or message.job_id.hex)


def _stored(message: Message) -> ImageReference:
    return ImageReference("photo", photo_key(message.job_id))


def _gender(members: Mapping[str, object]) -> str | None:
    """What the caller said, cut to a length that may be repeated in an answer."""
    given = members.get("gender")
    if not isinstance(given, str) or not given.strip():
        return None
    return canonical_gender(without_control_characters(given)[:_GENDER_CHARACTERS])


class ArrivalStore:
    """Keeps what arrived: photos first, then jobs and dead letters in one transaction.

    It is safe to repeat: the same arrivals give the same objects and the same jobs.
    """

    def __init__(
        self, jobs: JobStore, photos: Bucket, reader: MessageReader, metrics: TaskMetrics, dead_letters: DeadLetters
    ) -> None:
        self._jobs = jobs
        self._photos = photos
        self._reader = reader
        self._metrics = metrics
        self._dead_letters = dead_letters

    async def keep(self, arrivals: Sequence[Arrival], dead_letters: Sequence[BadMessage]) -> None:
        """Return when everything is kept. Raises Problem `store_unavailable`, `storage_unavailable`."""
        recalled = [await self._recalled(arrival) for arrival in arrivals]
        dead_letters = [*dead_letters, *(one for one in recalled if isinstance(one, BadMessage))]
        arrivals = [one for one in recalled if isinstance(one, Arrival)]
        await self._put(arrivals)
        submissions = await self._jobs.submit([arrival.job for arrival in arrivals], dead_letters)
        self._metrics.submitted(submissions)
        both = list(zip(arrivals, submissions, strict=True))
        if conflicts := [self._conflict(arrival) for arrival, submission in both if submission.result == "conflict"]:
            await self._jobs.submit([], conflicts)
        if unused := [
            photo_key(arrival.job.id) for arrival, submission in both if _is_photo_unused(arrival, submission)
        ]:
            await self._photos.remove(unused)
        for arrival, submission in both:
            if _is_sent_again(arrival, submission):
                await self._dead_letters.replay_job(submission.job.id, arrival.job.id)

    async def _recalled(self, arrival: Arrival) -> Arrival | BadMessage | None:
        """The arrival with the photo that it names by the id of an earlier message of its tenant.

        A dead letter if the photo is gone; None if there is nothing to do, as the message came again after its work.
        """
        if arrival.recalls is None:
            return arrival
        if await self._is_settled(arrival):
            return None
        owner, key = await self._jobs.get(arrival.recalls), photo_key(arrival.recalls)
        if owner and owner.request.tenant == arrival.job.tenant and owner.request.source.startswith(FROM_KAFKA):
            with suppress(ObjectMissingError):
                return arrival.with_photo((await self._photos.get(key)).data)
        detail = f"image: the photo of job {key} is not there any more; send the photo itself"
        return self._reader.dead_letter(arrival.message, Failure("object_missing", detail))

    async def _is_settled(self, arrival: Arrival) -> bool:
        """Whether the arrival's job, or the job whose photo it names, is known; one that was given up begins anew."""
        asked = arrival.job
        if await self._jobs.get(asked.id) or await self._jobs.deleting(asked.id):
            return True
        named = JobFilter(user_id=asked.user_id, request_id=asked.request_id, tenant=asked.tenant, limit=1)
        for job in await self._jobs.find(named):
            is_same = job.id == arrival.recalls and job.request.pipeline == asked.pipeline
            if is_same and await self._jobs.parameters(job.id) == asked.parameters:
                return not _was_given_up(job) or await self._dead_letters.replay_job(job.id, asked.id)
        return False

    async def _put(self, arrivals: Sequence[Arrival]) -> None:
        places = asyncio.Semaphore(_PUTS)

        async def put(key: str, photo: bytes) -> None:
            async with places:
                await self._photos.put(key, photo, _MEDIA_TYPE)

        puts = [put(photo_key(arrival.job.id), arrival.photo) for arrival in arrivals if arrival.photo is not None]
        for result in await asyncio.gather(*puts, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    def _conflict(self, arrival: Arrival) -> BadMessage:
        job = arrival.job
        detail = f"request_id {job.request_id!r} of user {job.user_id!r} came before with other content; send a new id."
        return self._reader.dead_letter(arrival.message, Failure("idempotency_conflict", detail))


def _is_photo_unused(arrival: Arrival, submission: SubmittedJob) -> bool:
    """Whether the request came before, so that its job has the photo that came then."""
    return arrival.photo is not None and submission.job.id != arrival.job.id


def _is_sent_again(arrival: Arrival, submission: SubmittedJob) -> bool:
    """Whether a request that was given up came in another message; a message that is only delivered again is not."""
    return submission.result == "known" and submission.job.id != arrival.job.id and _was_given_up(submission.job)


def _was_given_up(job: Job) -> bool:
    return job.outcome is not None and dead_letter_origin(job, job.outcome.failure) is not None
