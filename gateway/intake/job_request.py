"""A request for a job: everything checked that can be checked before it waits."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.fetching.guard import check_url
from gateway.intake.images import Image, check_photo
from gateway.intake.job_fields import JobFields
from gateway.intake.submission import Submission
from gateway.jobs.job import Callback, ImageReference, check_id, fingerprint
from gateway.pipelines.parameters import parameters_json
from gateway.pipelines.pipeline import Pipeline
from gateway.pipelines.registry import unknown_pipeline
from gateway.problems import Problem
from gateway.s3.images import parse_location
from gateway.settings import Settings
from gateway.validation import validated

_BESIDE = ("image", *JobFields.model_fields)


@dataclass(frozen=True)
class JobRequest:
    """What a caller wants done; `request_id` is empty where the caller named none. `parameters` is a JSON object.

    `fingerprint` is equal for equal requests alone.
    """

    pipeline: str
    parameters: str
    image: Image
    user_id: str
    request_id: str
    source: str
    gender: str | None = None
    priority: int = 0
    callbacks: tuple[Callback, ...] = ()
    fingerprint: bytes = field(init=False)

    def __post_init__(self) -> None:
        """The fingerprint is made with the rest, in the thread that parses a large body: it hashes all of the photo."""
        made = fingerprint(self.pipeline, self.parameters, self.image, self.callbacks)
        object.__setattr__(self, "fingerprint", made)


def job_request(
    submission: Submission, idempotency_key: str | None, registry: Mapping[str, Pipeline], settings: Settings
) -> JobRequest:
    """The job that a submission asks for. Raises Problem."""
    own = {name: value for name, value in submission.fields.items() if name in JobFields.model_fields}
    rest = {name: value for name, value in submission.fields.items() if name not in own}
    fields = validated(JobFields, own)
    pipeline = registry.get(fields.pipeline)
    if pipeline is None:
        raise unknown_pipeline(registry, fields.pipeline)
    return JobRequest(
        pipeline=pipeline.name,
        parameters=parameters_json(pipeline, rest, _BESIDE).decode(),
        image=checked_image(submission.image, settings),
        user_id=check_id("user_id", fields.user_id),
        request_id=_request_id(fields.request_id, idempotency_key),
        source="http",
        gender=_gender(rest.get("gender")),
        priority=fields.priority,
        callbacks=_callbacks(fields.callback_url, settings),
    )


def checked_image(image: Image, settings: Settings) -> Image:
    """A photo that can be worked on, or a location that may be read.

    Raises Problem: a PhotoError's codes, `url_not_allowed`, and those of parse_location.
    """
    if isinstance(image, bytes):
        check_photo(image, settings.max_pixels)
        return image
    if image.kind == "url":
        check_url(image.location, settings.allowed_networks)
        return image
    return ImageReference("s3", parse_location(image.location, settings))


def _callbacks(url: str, settings: Settings) -> tuple[Callback, ...]:
    if not url:
        return ()
    if not settings.webhook_secret.get_secret_value():
        raise Problem("invalid_parameters", "callback_url: not accepted here, because WEBHOOK_SECRET is not set")
    check_url(url, settings.allowed_networks)
    return (Callback("webhook", url),)


def _gender(said: object) -> str | None:
    """What the caller said, word for word; it was accepted as a parameter."""
    return said if isinstance(said, str) and said else None


def _request_id(named: str, idempotency_key: str | None) -> str:
    """The one id given, in the body or in the header; empty where there is none."""
    header = _unquoted(idempotency_key or "")
    if named and header and named != header:
        raise Problem("invalid_parameters", "request_id: differs from the header Idempotency-Key; send one of them")
    given = named or header
    return check_id("request_id", given) if given else ""


def _unquoted(value: str) -> str:
    """The header's value, which some clients quote, as its draft standard wants."""
    quoted = len(value) > 1 and value[0] == value[-1] == '"'
    return value[1:-1] if quoted else value
