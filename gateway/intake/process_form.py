"""The form of `POST /process`, as the HTTP mask service takes it."""

from collections.abc import Mapping

from pydantic import BaseModel, Field

from gateway.intake.images import check_photo
from gateway.intake.job_request import JobRequest
from gateway.intake.multipart import parse_multipart
from gateway.jobs.job import ID_CHARACTERS, Callback, check_id
from gateway.pipelines.parameters import parameters_json
from gateway.pipelines.pipeline import Pipeline
from gateway.pipelines.registry import unknown_pipeline
from gateway.problems import Problem
from gateway.settings import Settings
from gateway.validation import validated

PIPELINE = "body_masks"
_PARAMETERS = {"mask_types": ["upper_body", "lower_body"], "style": "labels"}
PHOTO = "user_image"


class ProcessFields(BaseModel):
    """The fields beside the photo."""

    user_id: str = Field(min_length=1, max_length=ID_CHARACTERS)
    job_id: str = Field(min_length=1, max_length=ID_CHARACTERS, description="The same one again gives the same job.")
    provider: str = Field("qwen", max_length=64, description="Passed on with the upload of the masks.")


def process_request(body: bytes, content_type: str, registry: Mapping[str, Pipeline], settings: Settings) -> JobRequest:
    """The job that a form asks for. Raises Problem."""
    parts = dict(parse_multipart((body,), content_type, (PHOTO,)))
    photo = parts.pop(PHOTO, None)
    if photo is None:
        raise Problem("invalid_parameters", f"{PHOTO}: Field required")
    check_photo(photo, settings.max_pixels)
    fields = _fields(parts)
    if PIPELINE not in registry:
        raise unknown_pipeline(registry, PIPELINE)
    return JobRequest(
        pipeline=PIPELINE,
        parameters=parameters_json(registry[PIPELINE], _PARAMETERS).decode(),
        image=photo,
        user_id=check_id("user_id", fields.user_id),
        request_id=check_id("job_id", fields.job_id),
        source=f"process:{check_id('provider', fields.provider)}",
        callbacks=(Callback("upload", settings.mask_asset_url),) if settings.mask_asset_url else (),
    )


def _fields(parts: Mapping[str, bytes]) -> ProcessFields:
    """Other fields are passed over, as that service does."""
    known = {name: parts[name].decode("utf-8", "replace") for name in ProcessFields.model_fields if name in parts}
    return validated(ProcessFields, known)
