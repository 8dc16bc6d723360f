"""What a message of the input topic asks for."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from gateway.intake.images import Image, json_image, missing_image
from gateway.intake.job_fields import JobFields
from gateway.intake.job_request import checked_image
from gateway.intake.json_body import json_members
from gateway.jobs.dead_letters import BadMessage
from gateway.jobs.job import Callback, ImageReference, NewJob, Outcome, check_id, fingerprint
from gateway.jobs.objects import photo_key
from gateway.kafka.message import Message
from gateway.kafka.poison import poison_of
from gateway.pipelines.body_masks import canonical_gender
from gateway.pipelines.parameters import parameters_json
from gateway.pipelines.pipeline import Pipeline
from gateway.problems import Problem
from gateway.results import Failure
from gateway.s3.images import check_owner, waiting_photo
from gateway.settings import Settings
from gateway.validation import validated

_GENDER_CHARACTERS = 32


@dataclass(frozen=True)
class Arrival:
    """A job to be queued, the photo to be stored before it, where the message holds one, and the message."""

    message: Message
    job: NewJob
    photo: bytes | None = None

    @property
    def recalls(self) -> UUID | None:
        """The job whose photo the message names, where it was taken out of the poison topic."""
        image = self.job.image
        is_others = image.kind == "photo" and image.location != photo_key(self.job.id)
        return UUID(image.location) if is_others else None

    def with_photo(self, photo: bytes) -> "Arrival":
        """The arrival as if the message held the photo."""
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
    """Reads messages as requests to one pipeline; pure."""

    def __init__(self, settings: Settings, pipeline: Pipeline) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._callbacks = (Callback("message", settings.kafka_topic_output),)

    def read(self, message: Message) -> Arrival | BadMessage:
        """A job; a job that failed at once, where the caller can be told so; or poison. Raises nothing."""
        try:
            members = _members(message.value)
            user_id, request_id = _identity(members, message)
        except Problem as problem:
            return self.poison(message, Failure(problem.code, printable(problem.detail)))
        return self._arrival(message, members, user_id, request_id)

    def poison(self, message: Message, failure: Failure) -> BadMessage:
        """A message that no job is made of."""
        return poison_of(message, failure, self._settings.kafka_topic_poison)

    def _arrival(self, message: Message, members: Mapping[str, object], user_id: str, request_id: str) -> Arrival:
        try:
            asked, failure = self._asked(members), None
        except Problem as problem:
            asked = _Asked("{}", message.value or b"", 0)
            failure = Failure(problem.code, printable(problem.detail))
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


def printable(text: str) -> str:
    """Text that any log, header and database takes."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _members(value: bytes | None) -> Mapping[str, object]:
    if value is None:
        raise Problem("invalid_json", "The message has no value.")
    return json_members(value)


def _identity(members: Mapping[str, object], message: Message) -> tuple[str, str]:
    """user_id and request_id, which is made of the job's id where there is none.

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
    """What the caller said, cut to what a wrong answer may repeat."""
    given = members.get("gender")
    if not isinstance(given, str) or not given.strip():
        return None
    return canonical_gender(printable(given)[:_GENDER_CHARACTERS])
