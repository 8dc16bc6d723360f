"""`maskwright jobs list|show|watch|cancel|delete|resend`, and a job's states as the gateway tells them."""

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, cast
from urllib.parse import quote

import httpx
import typer
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from typing_extensions import TypedDict

from gateway.cli.client import (
    ENDLESS,
    UNEXPECTED,
    RefusedError,
    UnexpectedAnswerError,
    accepted,
    asks_gateway,
    collect_pages,
    content_of,
    lines,
    parsed,
)
from gateway.cli.options import Json, given
from gateway.cli.tables import JobObject, print_job, print_jobs, reason, state_text
from gateway.terminal import Screen, print_json, say
from gateway.text import json_text


class _Job(TypedDict):
    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")]
    state: str


FINISHED = frozenset({"completed", "failed"})
JOB = TypeAdapter(_Job)
_SILENCE = httpx.Timeout(60.0, connect=5.0)
"""The gateway writes to each stream every 15 seconds."""
_BREAKS = 60
_PAUSE_S = 1.0


class _Resent(BaseModel):
    resent: int


_RESENT = TypeAdapter(_Resent)

JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")]
JobIds = Annotated[list[str], typer.Argument(metavar="JOB…", help="Ids of jobs.")]

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Look after jobs.")


@app.command("list")
@asks_gateway
async def list_jobs(  # noqa: PLR0913, PLR0917 one option for each filter
    client: httpx.AsyncClient,
    state: Annotated[str, typer.Option(help="queued, running, completed, failed or deleting.")] = "",
    user_id: Annotated[str, typer.Option(help="Only this user's.")] = "",
    request_id: Annotated[str, typer.Option(help="Only this request's.")] = "",
    pipeline: Annotated[str, typer.Option(help="Only this pipeline's.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    as_json: Json = False,
) -> None:
    """Jobs, the newest first."""
    filters = given(state=state, user_id=user_id, request_id=request_id, pipeline=pipeline)
    jobs = await collect_pages(client, "/v1/jobs", "jobs", filters, limit)
    (print_json if as_json else print_jobs)(jobs)


@app.command()
@asks_gateway
async def show(client: httpx.AsyncClient, job: JobId, as_json: Json = False) -> None:
    """One job, with its artifacts and callbacks."""
    found = job_of(await client.get(job_path(job)))
    (print_json if as_json else print_job)(found)


@app.command()
@asks_gateway
async def watch(client: httpx.AsyncClient, job: JobId, as_json: Json = False) -> None:
    """Every state of a job until its outcome; exit 1 where it failed."""
    console = Screen()
    state: object = None
    async for now in states(client, job):
        state = now["state"]
        if as_json:
            typer.echo(json_text(now))
        else:
            console.print(state_text(now), reason(now), soft_wrap=True)
    if state == "failed":
        raise typer.Exit(1)


@app.command()
@asks_gateway
async def cancel(client: httpx.AsyncClient, jobs: JobIds) -> None:
    """End jobs that are not finished."""
    for job in jobs:
        say(f"{job} {job_of(await client.post(job_path(job, '/cancel')))['state']}")


@app.command()
@asks_gateway
async def delete(client: httpx.AsyncClient, jobs: JobIds) -> None:
    """Remove jobs, their photos and their masks; those that are not gone yet stay listed as `deleting`."""
    for job in jobs:
        answer = accepted(await client.delete(job_path(job)))
        waits = answer.status_code == HTTPStatus.ACCEPTED
        say(f"{job} {_deletion(job_of(answer)) if waits else 'deleted'}")


@app.command()
@asks_gateway
async def resend(client: httpx.AsyncClient, jobs: JobIds) -> None:
    """Send the callbacks of jobs again that failed."""
    for job in jobs:
        answer = content_of(await client.post(job_path(job, "/callbacks/resend")), _RESENT)
        say(f"{job} {answer.resent} sent again")


def job_path(job_id: object, below: str = "") -> str:
    """A job's address."""
    return f"/v1/jobs/{segment(job_id)}{below}"


def segment(name: object) -> str:
    """A name as one part of an address; dots alone would lead elsewhere, so they are escaped."""
    text = str(name)
    return quote(text, safe="") if text.strip(".") else text.replace(".", "%2E")


def job_of(answer: httpx.Response) -> JobObject:
    """The job that a good answer holds. Raises RefusedError."""
    return cast("JobObject", content_of(answer, JOB))


async def states(client: httpx.AsyncClient, job_id: object) -> AsyncIterator[JobObject]:
    """A job's states until its outcome; a stream that breaks is opened again, for up to a minute without an answer.

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


def _deletion(job: JobObject) -> str:
    why = reason(job)
    return f"deleting: {why}" if why else "deleting: a worker may still write its masks"
