"""`maskwright jobs list|show|watch|cancel|delete|resend`: the commands, and tables of jobs.

What an answer of the gateway lacks stays empty in a table.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, TypeAlias, cast
from urllib.parse import quote

import httpx
import typer
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from rich.console import Console
from rich.text import Text
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
from gateway.cli.terminal import Screen, cell, print_json, say, screen, table
from gateway.untrusted_text import json_text

JobObject: TypeAlias = Mapping[str, object]
"""A job as in the gateway's JSON, with at least an id and a state."""
_STYLES = {"completed": "green", "failed": "red", "running": "cyan", "deleting": "yellow"}
_UNITS = (("d", 86_400), ("h", 3600), ("min", 60))


def print_jobs(jobs: Sequence[JobObject]) -> None:
    """A row for each job."""
    rows = table("user/request", "why", whole=("job", "state", "age"))
    for job in jobs:
        asked = "/".join(str(job[name]) for name in ("user_id", "request_id") if job.get(name))
        rows.add_row(cell(job.get("id", "")), state_text(job), age(job.get("created_at")), cell(asked), reason(job))
    screen().print(rows)


def print_job(job: JobObject) -> None:
    """Everything about one job."""
    print_facts(_facts(job))
    console = screen()
    if artifacts := _objects(job.get("artifacts")):
        rows = table("artifact", "bytes", "url")
        for name, artifact in artifacts.items():
            rows.add_row(cell(name), cell(artifact.get("bytes", "")), cell(_unsigned(artifact.get("url", ""))))
        console.print(rows)
    _print_callbacks(console, job)


def age(created_at: object) -> str:
    """How long ago an RFC 3339 time was, in its largest unit. Empty for anything else."""
    try:
        created = datetime.fromisoformat(str(created_at))
        aware = created if created.tzinfo else created.replace(tzinfo=UTC)
        seconds = max(0, int((datetime.now(UTC) - aware).total_seconds()))
    except (ValueError, OverflowError):
        return ""
    name, size = next(((name, size) for name, size in _UNITS if seconds >= size), ("s", 1))
    return f"{seconds // size} {name}"


def print_facts(facts: Iterable[tuple[str, object]]) -> None:
    """A row for each name and value."""
    rows = table("", "")
    rows.show_header = False
    for name, value in facts:
        rows.add_row(cell(name), cell(value))
    screen().print(rows)


def state_text(job: JobObject) -> Text:
    """A job's state in its colour."""
    state = text_of(job, "state")
    return cell(state, _STYLES.get(state, ""))


def reason(job: JobObject) -> Text:
    """Why a job failed, is tried again, or is not deleted yet."""
    return cell(failure_text(job.get("last_error" if job.get("state") in {"queued", "deleting"} else "error")))


def _facts(job: JobObject) -> Iterable[tuple[str, str]]:
    names = ("id", "state", "pipeline", "user_id", "request_id", "source", "trace_id", "priority", "attempts")
    for name in (*names, "created_at", "started_at", "finished_at"):
        yield name, text_of(job, name)
    for name in ("error", "last_error"):
        if job.get(name):
            yield name, failure_text(job[name])
    if timings := job.get("timings_ms"):
        yield "timings_ms", json.dumps(timings)


def _print_callbacks(console: Console, job: JobObject) -> None:
    callbacks = job.get("callbacks")
    if not isinstance(callbacks, list) or not callbacks:
        return
    rows = table("callback", "to", "state", "tries", "why")
    for callback in filter(_is_object, callbacks):
        names = ("kind", "destination", "state", "attempts", "last_error")
        rows.add_row(*(cell(text_of(callback, name)) for name in names))
    console.print(rows)


def _objects(value: object) -> Mapping[str, Mapping[str, object]]:
    return {name: one for name, one in value.items() if _is_object(one)} if isinstance(value, Mapping) else {}


def _is_object(value: object) -> bool:
    return isinstance(value, Mapping)


def text_of(of: Mapping[str, object], name: str) -> str:
    """A member as text. Empty if it is missing or null."""
    value = of.get(name)
    return "" if value is None else str(value)


def failure_text(failure: object) -> str:
    """Code and detail of a failure. Empty if it is none."""
    return f"{failure.get('code')}: {failure.get('detail')}" if isinstance(failure, Mapping) else ""


def _unsigned(url: object) -> str:
    """A link without its signature, with which anyone who sees the terminal could fetch the mask. See `--json`."""
    address, mark, _ = str(url).partition("?")
    return f"{address}?…" if mark else address


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
    """A name as one part of an address. A part of dots alone would lead elsewhere, so its dots are escaped."""
    text = str(name)
    return quote(text, safe="") if text.strip(".") else text.replace(".", "%2E")


def job_of(answer: httpx.Response) -> JobObject:
    """The job in a successful answer. Raises RefusedError."""
    return cast("JobObject", content_of(answer, JOB))


async def states(client: httpx.AsyncClient, job_id: object) -> AsyncIterator[JobObject]:
    """A job's states until its outcome. A broken stream is opened again, for up to a minute without an answer.

    Raises RefusedError if the job does not exist or was deleted, and httpx.TransportError.
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
