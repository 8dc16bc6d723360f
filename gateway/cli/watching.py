"""A job's states as the gateway tells them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, TypeAlias, cast
from urllib.parse import quote

import httpx
from pydantic import ConfigDict, Field, TypeAdapter
from typing_extensions import TypedDict

from gateway.cli.bounded import ENDLESS, UnexpectedAnswerError, lines, parsed
from gateway.cli.client import UNEXPECTED, RefusedError, accepted, content_of

JobObject: TypeAlias = Mapping[str, object]
"""A job as the gateway's JSON has it, with an id and a state at least."""


class _Job(TypedDict):
    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")]
    state: str


FINISHED = frozenset({"completed", "failed"})
JOB = TypeAdapter(_Job)
_SILENCE = httpx.Timeout(60.0, connect=5.0)
"""The gateway says every 15 seconds that a stream lives."""
_BREAKS = 60
_PAUSE_S = 1.0


def job_path(job_id: object, below: str = "") -> str:
    """A job's address."""
    return f"/v1/jobs/{segment(job_id)}{below}"


def segment(name: object) -> str:
    """A part of an address that stays one: dots alone would lead elsewhere."""
    text = str(name)
    return quote(text, safe="") if text.strip(".") else text.replace(".", "%2E")


def job_of(answer: httpx.Response) -> JobObject:
    """The job that a good answer holds. Raises RefusedError."""
    return cast("JobObject", content_of(answer, JOB))


async def states(client: httpx.AsyncClient, job_id: object) -> AsyncIterator[JobObject]:
    """States until the outcome; a stream that breaks is taken up again, for a minute without an answer.

    Raises RefusedError, where the job is not there or was deleted, and httpx.TransportError.
    """
    breaks = 0
    while True:
        breaks += 1
        try:
            async for job in _stream(client, job_id):
                breaks = 0
                yield job
                if job["state"] in FINISHED:
                    return
        except httpx.TransportError:
            if breaks > _BREAKS:
                raise
        except UnexpectedAnswerError as error:
            raise RefusedError(UNEXPECTED, f"the events of job {job_id}: {error}") from error
        if breaks > _BREAKS:
            raise RefusedError(UNEXPECTED, f"the events of job {job_id} end, and tell nothing")
        await asyncio.sleep(_PAUSE_S)


async def _stream(client: httpx.AsyncClient, job_id: object) -> AsyncIterator[JobObject]:
    way, more = job_path(job_id, "/events"), {ENDLESS: True}
    async with client.stream("GET", way, timeout=_SILENCE, extensions=more) as answer:
        if not answer.is_success:
            await answer.aread()
        if accepted(answer).headers.get("content-type", "").partition(";")[0].strip() != "text/event-stream":
            raise UnexpectedAnswerError("no stream of events")
        async for line in lines(answer):
            if line == "event: deleted":
                raise RefusedError("job_not_found", f"Job {job_id} was deleted.")
            if line.startswith("data: "):
                yield cast("JobObject", parsed(line.removeprefix("data: ").encode(), JOB))
