"""Requests for jobs, from every interface. All that can be checked before a job waits is checked here."""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PureWindowsPath
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from gateway.errors import Problem
from gateway.fetching.guard import check_url
from gateway.intake.bodies import check_photo
from gateway.intake.multipart import Part, parse_multipart
from gateway.intake.submissions import MAX_URL_CHARACTERS, Image, Submission, gather
from gateway.jobs.job import ID_CHARACTERS, UNCOUNTED, Callback, ImageReference, check_id, fingerprint, upload_source
from gateway.jobs.objects import UPLOAD_PIPELINE
from gateway.pipelines.registry import Pipeline, parameters_json, unknown_pipeline
from gateway.pipelines.validation import known, validated
from gateway.s3.buckets import parse_location
from gateway.settings import Settings

DEFAULT_PIPELINE = FORM_PIPELINE = "body_masks"
FRONTAL_PIPELINE = "face_contours"
MAX_PRIORITY = 10
PROCESS_PHOTO, FILE, FILES = "user_image", "file", "files"
"""Fields of forms that hold photos: of `/process`, `/upload` and `/batch-upload`."""

_FORM_PARAMETERS = {"mask_types": ["upper_body", "lower_body"], "style": "labels"}
_NAME_CHARACTERS = 255
_UNNAMED = "image"


def _text(value: object) -> object:
    """A number as text: callers number their users."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


_Id = Annotated[str, BeforeValidator(_text), Field(max_length=ID_CHARACTERS)]


class JobFields(BaseModel):
    """The fields of a request beside the photo and the pipeline's parameters. Every field is optional."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pipeline: str = Field(
        DEFAULT_PIPELINE, max_length=64, description="The pipeline to run; GET /v1/pipelines lists them."
    )
    user_id: _Id = Field("", description="Whose job it is. One user's jobs run in the order of their coming.")
    request_id: _Id = Field(
        "",
        description="Names the request: the same one again gives the same job. So does the header Idempotency-Key; "
        "one is made where there is neither.",
    )
    priority: int = Field(0, ge=-MAX_PRIORITY, le=MAX_PRIORITY, description="Higher runs earlier.")
    callback_url: str = Field(
        "",
        max_length=MAX_URL_CHARACTERS,
        description="Told of the outcome: a signed POST after the Standard Webhooks specification.",
    )


class FrontalFields(BaseModel):
    """The fields of a submission to `/api/v1/frontal/crop` beside the pipeline's own."""

    model_config = ConfigDict(frozen=True)

    loadtest_mode: bool = Field(
        default=False, description="Leaves the request out of the cache's figures; nothing is slowed down without it."
    )


class ProcessFields(BaseModel):
    """The fields of the form of `/process` beside the photo."""

    user_id: str = Field(min_length=1, max_length=ID_CHARACTERS)
    job_id: str = Field(min_length=1, max_length=ID_CHARACTERS, description="The same one again gives the same job.")
    provider: str = Field("qwen", max_length=64, description="Passed on with the upload of the masks.")


@dataclass(frozen=True)
class JobRequest:
    """What a caller wants done; `request_id` is empty where the caller sent none. `parameters` is a JSON object.

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
        """Make the fingerprint here, in the thread that parses a large body: it hashes all of the photo."""
        made = fingerprint(self.pipeline, self.parameters, self.image, self.callbacks)
        object.__setattr__(self, "fingerprint", made)


@dataclass(frozen=True)
class Upload:
    """A file of `size` bytes, and the job that it asks for."""

    size: int
    wanted: JobRequest


def job_request(
    submission: Submission, idempotency_key: str | None, registry: Mapping[str, Pipeline], settings: Settings
) -> JobRequest:
    """The job that a submission asks for. Raises Problem."""
    own = known(JobFields, submission.fields)
    rest = {name: value for name, value in submission.fields.items() if name not in own}
    fields = validated(JobFields, own)
    pipeline = _pipeline(registry, fields.pipeline)
    gender = rest.get("gender")
    return JobRequest(
        pipeline=pipeline.name,
        parameters=parameters_json(pipeline, rest, ("image", *JobFields.model_fields)).decode(),
        image=checked_image(submission.image, settings),
        user_id=check_id("user_id", fields.user_id),
        request_id=_request_id(fields.request_id, idempotency_key),
        source="http",
        gender=gender if isinstance(gender, str) and gender else None,  # word for word; it was accepted as a parameter
        priority=fields.priority,
        callbacks=_callbacks(fields.callback_url, settings),
    )


def frontal_request(submission: Submission, registry: Mapping[str, Pipeline], settings: Settings) -> JobRequest:
    """The job that a submission to the facial contour service asks for; unknown fields are ignored. Raises Problem."""
    pipeline = _pipeline(registry, FRONTAL_PIPELINE)
    own = validated(FrontalFields, known(FrontalFields, submission.fields))
    return JobRequest(
        pipeline=pipeline.name,
        parameters=parameters_json(pipeline, known(pipeline.parameters, submission.fields)).decode(),
        image=checked_image(submission.image, settings),
        user_id="",
        request_id="",
        source=UNCOUNTED if own.loadtest_mode else "frontal",
    )


def process_request(body: bytes, content_type: str, registry: Mapping[str, Pipeline], settings: Settings) -> JobRequest:
    """The job that a form asks for, as the HTTP mask service takes it; other fields are ignored. Raises Problem."""
    parts = {part.name: part.data for part in parse_multipart((body,), content_type, (PROCESS_PHOTO,))}
    photo = parts.pop(PROCESS_PHOTO, None)
    if photo is None:
        raise Problem("invalid_parameters", f"{PROCESS_PHOTO}: Field required")
    check_photo(photo, settings.max_pixels)
    own = known(ProcessFields, parts)
    fields = validated(ProcessFields, {name: parts[name].decode("utf-8", "replace") for name in own})
    pipeline = _pipeline(registry, FORM_PIPELINE)
    return JobRequest(
        pipeline=pipeline.name,
        parameters=parameters_json(pipeline, _FORM_PARAMETERS).decode(),
        image=photo,
        user_id=check_id("user_id", fields.user_id),
        request_id=check_id("job_id", fields.job_id),
        source=f"process:{check_id('provider', fields.provider)}",
        callbacks=(Callback("upload", settings.mask_asset_url),) if settings.mask_asset_url else (),
    )


def upload_request(body: bytes, content_type: str, registry: Mapping[str, Pipeline], settings: Settings) -> Upload:
    """The one file of a form, as the blur pipeline takes it. Raises Problem."""
    parts = parse_multipart((body,), content_type, (FILE,))
    files = [part for part in parts if part.name == FILE]
    if len(files) != 1:
        raise Problem("invalid_parameters", f"{FILE}: send one file in this field; there are {len(files)}")
    photo = files[0].data
    check_photo(photo, settings.max_pixels)
    wanted = JobRequest(
        pipeline=UPLOAD_PIPELINE,
        parameters=upload_parameters(parts, registry),
        image=photo,
        user_id="",
        request_id=uuid.uuid4().hex,
        source=upload_source(upload_name(files[0])),
    )
    return Upload(len(photo), wanted)


def upload_parameters(parts: Iterable[Part], registry: Mapping[str, Pipeline]) -> str:
    """The pipeline's parameters among a form's fields, as a JSON object; other fields are ignored.

    Raises Problem `invalid_parameters`, `pipeline_not_found`.
    """
    pipeline = _pipeline(registry, UPLOAD_PIPELINE)
    names = pipeline.parameters.model_fields
    fields = gather((part.name, part.data.decode("utf-8", "replace")) for part in parts if part.name in names)
    return parameters_json(pipeline, fields).decode()


def upload_name(part: Part) -> str:
    """The name of a part's file without its folders, fit for any log line, column and page; never . or .."""
    name = "".join(filter(str.isprintable, PureWindowsPath(part.file_name).name))[:_NAME_CHARACTERS]
    return name if name.strip(". ") else _UNNAMED


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


def _pipeline(registry: Mapping[str, Pipeline], name: str) -> Pipeline:
    """Raises Problem `pipeline_not_found`."""
    if name not in registry:
        raise unknown_pipeline(registry, name)
    return registry[name]


def _callbacks(url: str, settings: Settings) -> tuple[Callback, ...]:
    if not url:
        return ()
    if not settings.webhook_secret.get_secret_value():
        raise Problem("invalid_parameters", "callback_url: not accepted here, because WEBHOOK_SECRET is not set")
    check_url(url, settings.allowed_networks)
    return (Callback("webhook", url),)


def _request_id(named: str, idempotency_key: str | None) -> str:
    """The id in the body or in the header; empty where there is none."""
    header = _unquoted(idempotency_key or "")
    if named and header and named != header:
        raise Problem("invalid_parameters", "request_id: differs from the header Idempotency-Key; send one of them")
    given = named or header
    return check_id("request_id", given) if given else ""


def _unquoted(value: str) -> str:
    """The header's value without the quotes that its draft standard asks for, and only some clients write."""
    quoted = len(value) > 1 and value[0] == value[-1] == '"'
    return value[1:-1] if quoted else value
