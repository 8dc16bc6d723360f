"""`maskwright jobs list|show|watch|cancel|delete|resend`."""

from http import HTTPStatus
from typing import Annotated

import httpx
import typer
from pydantic import BaseModel, TypeAdapter

from gateway.cli.client import Gateway, accepted, content_of, converse
from gateway.cli.options import Json, PlainHttp, Url, given
from gateway.cli.pages import collect
from gateway.cli.tables import print_job, print_jobs, reason, state_text
from gateway.cli.terminal import Screen, print_json, say
from gateway.cli.watching import JobObject, job_of, job_path, states
from gateway.text import json_text

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Look after jobs.")


class _Resent(BaseModel):
    resent: int


_RESENT = TypeAdapter(_Resent)

JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")]
JobIds = Annotated[list[str], typer.Argument(metavar="JOB…", help="Ids of jobs.")]


@app.command("list")
def list_jobs(  # noqa: PLR0913, PLR0917 one option for each filter
    state: Annotated[str, typer.Option(help="queued, running, completed, failed or deleting.")] = "",
    user_id: Annotated[str, typer.Option(help="Only this user's.")] = "",
    request_id: Annotated[str, typer.Option(help="Only this request's.")] = "",
    pipeline: Annotated[str, typer.Option(help="Only this pipeline's.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    url: Url = "",
    plain_http: PlainHttp = False,  # noqa: FBT002 typer makes a flag of it
    as_json: Json = False,  # noqa: FBT002 typer makes a flag of it
) -> None:
    """Jobs, the newest first."""
    filters = given(state=state, user_id=user_id, request_id=request_id, pipeline=pipeline)
    jobs = converse(Gateway(url, plain_http), lambda client: collect(client, "/v1/jobs", "jobs", filters, limit))
    (print_json if as_json else print_jobs)(jobs)


@app.command()
def show(
    job: JobId,
    url: Url = "",
    plain_http: PlainHttp = False,  # noqa: FBT002 typer makes a flag of it
    as_json: Json = False,  # noqa: FBT002 typer makes a flag of it
) -> None:
    """One job, with its artifacts and callbacks."""

    async def get(client: httpx.AsyncClient) -> JobObject:
        return job_of(await client.get(job_path(job)))

    found = converse(Gateway(url, plain_http), get)
    (print_json if as_json else print_job)(found)


@app.command()
def watch(
    job: JobId,
    url: Url = "",
    plain_http: PlainHttp = False,  # noqa: FBT002 typer makes a flag of it
    as_json: Json = False,  # noqa: FBT002 typer makes a flag of it
) -> None:
    """Every state of a job until its outcome; exit 1 where it failed."""
    console = Screen()

    async def follow(client: httpx.AsyncClient) -> object:
        state: object = None
        async for now in states(client, job):
            state = now["state"]
            if as_json:
                typer.echo(json_text(now))
            else:
                console.print(state_text(now), reason(now), soft_wrap=True)
        return state

    if converse(Gateway(url, plain_http), follow) == "failed":
        raise typer.Exit(1)


@app.command()
def cancel(
    jobs: JobIds,
    url: Url = "",
    plain_http: PlainHttp = False,  # noqa: FBT002 typer makes a flag of it
) -> None:
    """End jobs that are not finished."""

    async def end(client: httpx.AsyncClient) -> None:
        for job in jobs:
            say(f"{job} {job_of(await client.post(job_path(job, '/cancel')))['state']}")

    converse(Gateway(url, plain_http), end)


@app.command()
def delete(
    jobs: JobIds,
    url: Url = "",
    plain_http: PlainHttp = False,  # noqa: FBT002 typer makes a flag of it
) -> None:
    """Remove jobs, their photos and their masks; those that are not gone yet stay listed as `deleting`."""

    async def remove(client: httpx.AsyncClient) -> None:
        for job in jobs:
            answer = accepted(await client.delete(job_path(job)))
            waits = answer.status_code == HTTPStatus.ACCEPTED
            say(f"{job} {_deletion(job_of(answer)) if waits else 'deleted'}")

    converse(Gateway(url, plain_http), remove)


@app.command()
def resend(
    jobs: JobIds,
    url: Url = "",
    plain_http: PlainHttp = False,  # noqa: FBT002 typer makes a flag of it
) -> None:
    """Send the callbacks of jobs again that failed."""

    async def send(client: httpx.AsyncClient) -> None:
        for job in jobs:
            answer = content_of(await client.post(job_path(job, "/callbacks/resend")), _RESENT)
            say(f"{job} {answer.resent} sent again")

    converse(Gateway(url, plain_http), send)


def _deletion(job: JobObject) -> str:
    why = reason(job)
    return f"deleting: {why}" if why else "deleting: a worker may still write its masks"
