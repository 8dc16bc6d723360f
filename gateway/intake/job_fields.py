"""What a request says of the job, beside the pipeline's parameters."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from gateway.jobs.job import ID_CHARACTERS

DEFAULT_PIPELINE = "body_masks"
MAX_URL_CHARACTERS = 2048
MAX_PRIORITY = 10


def _text(value: object) -> object:
    """A number as text: callers number their users."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


_Id = Annotated[str, BeforeValidator(_text), Field(max_length=ID_CHARACTERS)]


class JobFields(BaseModel):
    """Every field is optional."""

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
