"""What `POST /api/v1/frontal/crop/submit` takes, as the facial contour services do."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

from gateway.intake.job_request import JobRequest, checked_image
from gateway.intake.submission import Submission
from gateway.jobs.job import UNCOUNTED
from gateway.pipelines.fields import known, validated
from gateway.pipelines.registry import Pipeline, parameters_json, unknown_pipeline
from gateway.settings import Settings

PIPELINE = "face_contours"
_SOURCE = "frontal"


class FrontalFields(BaseModel):
    """The fields beside the pipeline's own."""

    model_config = ConfigDict(frozen=True)

    loadtest_mode: bool = Field(
        default=False, description="Leaves the request out of the cache's figures; nothing is slowed down without it."
    )


def frontal_request(submission: Submission, registry: Mapping[str, Pipeline], settings: Settings) -> JobRequest:
    """The job that a submission asks for; unknown fields are passed over, as those services do. Raises Problem."""
    if PIPELINE not in registry:
        raise unknown_pipeline(registry, PIPELINE)
    pipeline = registry[PIPELINE]
    own = validated(FrontalFields, known(FrontalFields, submission.fields))
    return JobRequest(
        pipeline=PIPELINE,
        parameters=parameters_json(pipeline, known(pipeline.parameters, submission.fields)).decode(),
        image=checked_image(submission.image, settings),
        user_id="",
        request_id="",
        source=UNCOUNTED if own.loadtest_mode else _SOURCE,
    )
