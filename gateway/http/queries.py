"""What a caller wants listed."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from gateway.jobs.job import ID_CHARACTERS, JobState

MAX_PAGE = 200
MAX_BIGINT = 2**63 - 1

_Id = Annotated[str, Field(max_length=ID_CHARACTERS, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]


class JobQuery(BaseModel):
    """Fields of the address; each is optional."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    state: JobState | None = Field(None, description="Only jobs of this state.")
    user_id: _Id | None = Field(None, description="Only this user's jobs.")
    request_id: _Id | None = Field(None, description="Only jobs of requests of this id.")
    pipeline: _Id | None = Field(None, description="Only jobs of this pipeline.")
    limit: int = Field(50, ge=1, le=MAX_PAGE, description="Jobs a page.")
    cursor: int | None = Field(None, ge=0, le=MAX_BIGINT, description="`next` of the page before.")


class PoisonQuery(BaseModel):
    """Fields of the address; each is optional."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(50, ge=1, le=MAX_PAGE, description="Entries a page.")
    cursor: int | None = Field(None, ge=0, le=MAX_BIGINT, description="`next` of the page before.")


class CachePeriod(BaseModel):
    """Fields of the address; each is optional."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    days: int = Field(7, ge=1, le=30, description="How far back, today included.")


class CachePage(BaseModel):
    """Fields of the address; each is optional."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(10, ge=1, le=50, description="Entries, the newest first.")
