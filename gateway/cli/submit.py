"""`maskwright submit PHOTO|URL…`: queues photos as jobs, several at a time, and waits for their outcomes."""

import inspect
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.progress import TimeElapsedColumn

from gateway.cli.client import Gateway, PlainHttp, Url, accepted, send_until_not_busy, with_client
from gateway.cli.jobs import FINISHED, JobObject, job_of, job_path, segment, state_text, states
from gateway.cli.options import InFlight, Json, Recursive, file_text, form_fields, given, makes_copies, pipeline_options
from gateway.cli.photo_finder import Finder, Source, complain_of_skipped, find_sources, safe_or_exit
from gateway.cli.photo_paths import Layout
from gateway.cli.sender import FAILURES, Bar, failure_of, for_each, told_column
from gateway.cli.terminal import cell, complain, print_json, screen, table
from gateway.pipelines.registry import known_pipelines
from gateway.untrusted_text import shown

_OF_COPIES = frozenset(name for name, entry in known_pipelines().items() if makes_copies(entry))
_TRIES = 100
"""A folder may hold more photos than the queue. A full queue empties with time."""

Fields = Annotated[
    list[str] | None,
    typer.Option("--field", "-F", help="Any other field of the pipeline: NAME=VALUE, or NAME=@FILE. Repeat it."),
]


def submit(  # noqa: PLR0913, PLR0917 one option for each field of a job
    photos: Annotated[list[str], typer.Argument(help="Photos, folders of photos, patterns, http(s) and s3 addresses.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the artifacts, as of `maskwright run`.")
    ] = None,
    pipeline: Annotated[str, typer.Option(help="What to run.")] = "body_masks",
    field: Fields = None,
    user_id: Annotated[str, typer.Option(help="Whose jobs they are; one user's run in their order.")] = "",
    request_id: Annotated[str, typer.Option(help="Names the request; for one photo alone.")] = "",
    callback_url: Annotated[str, typer.Option(help="Told of each outcome by a signed POST.")] = "",
    priority: Annotated[int, typer.Option(min=-10, max=10, help="Higher runs earlier.")] = 0,
    wait: Annotated[bool, typer.Option("--wait/--detach", help="Wait for the outcomes, or only queue.")] = True,
    recursive: Recursive = False,
    url: Url = "",
    plain_http: PlainHttp = False,
    in_flight: InFlight = 16,
    as_json: Json = False,
    **parameters: object,
) -> None:
    """Queue photos as jobs and wait for their artifacts; exit 1 where one failed."""
    layout = Layout.MIRROR if pipeline in _OF_COPIES else Layout.FOLDERS
    sources, skipped = find_sources(photos, Finder(recursive=recursive, results=output), output, layout)
    complain_of_skipped(skipped)
    _check(sources, request_id)
    named = given(
        pipeline=pipeline, user_id=user_id, request_id=request_id, callback_url=callback_url,
        priority=str(priority) if priority else "",
    )  # fmt: skip
    fields = {**named, **form_fields(parameters), **dict(map(_field, field or ()))}

    async def work(client: httpx.AsyncClient) -> list[Submitted]:
        submitter = Submitter(client, fields, bar.show_state)
        return await for_each(sources, in_flight, submitter.complete if wait else submitter.submit, bar.done)

    with JobsBar(len(sources)) as bar:
        submitted = with_client(Gateway(url, plain_http), work)
    (print_submitted_json if as_json else print_submitted)(submitted)
    if any(one.code for one in submitted):
        raise typer.Exit(1)


*_own, _ = inspect.signature(submit).parameters.values()
submit.__dict__["__signature__"] = inspect.Signature([*_own, *pipeline_options(known_pipelines()["body_masks"])])


def _check(sources: Sequence[Source], request_id: str) -> None:
    if not sources:
        complain("No photos there.")
        raise typer.Exit(1)
    if request_id and len(sources) > 1:
        complain("--request-id names one request, and there are several photos.")
        raise typer.Exit(2)
    safe_or_exit([one.photo for one in sources if one.photo is not None and one.location_kind is None])


def _field(pair: str) -> tuple[str, str]:
    name, equals, value = pair.partition("=")
    if not (name and equals):
        raise typer.BadParameter(f"{pair!r}: write NAME=VALUE or NAME=@FILE", param_hint="--field")
    return name, file_text(f"--field {shown(name)}", Path(value[1:])) if value.startswith("@") else value


@dataclass(frozen=True)
class Submitted:
    """The outcome of one photo: the last known state of its job, or code and detail of the failure."""

    source: Source
    job: JobObject | None = None
    code: str | None = None
    detail: str = ""


@dataclass(frozen=True)
class Submitter:
    """Submits photos with the same fields. `seen` is called with every state of every job."""

    client: httpx.AsyncClient
    fields: Mapping[str, str]
    seen: Callable[[Source, JobObject], None]

    async def submit(self, source: Source) -> Submitted:
        """Queue a photo."""
        return await _caught(source, self._submit(source))

    async def complete(self, source: Source) -> Submitted:
        """Queue a photo, wait for the outcome of its job, and save its artifacts."""
        return await _caught(source, self._complete(source))

    async def _submit(self, source: Source) -> JobObject:
        job = job_of(await send_until_not_busy(lambda: self._post(source), _TRIES))
        self.seen(source, job)
        return job

    async def _complete(self, source: Source) -> JobObject:
        job = await self._submit(source)
        async for now in states(self.client, job["id"]):
            job = now
            self.seen(source, job)
        for name in _artifacts(job):
            await self._save(source, job, name)
        return job

    async def _post(self, source: Source) -> httpx.Response:
        headers = {} if "request_id" in self.fields else {"Idempotency-Key": source.key}
        kind = source.location_kind
        if kind:
            body = {**self.fields, "image": {kind: source.name}}
            return await self.client.post("/v1/jobs", json=body, headers=headers)
        files = {"image": ("photo", source.read())}
        return await self.client.post("/v1/jobs", files=files, data=self.fields, headers=headers)

    async def _save(self, source: Source, job: JobObject, name: str) -> None:
        if source.photo is not None:
            source.photo.place(name)
            way = "/".join(map(segment, ("artifacts", *name.split("/"))))
            answer = accepted(await self.client.get(job_path(job["id"], f"/{way}")))
            source.photo.save(name, answer.content)


async def _caught(source: Source, work: Awaitable[JobObject]) -> Submitted:
    try:
        job = await work
    except FAILURES as error:
        code, detail = failure_of(error)
        return Submitted(source, None, code, detail)
    match job.get("error"):
        case {"code": str(code), "detail": str(detail)}:
            return Submitted(source, job, code, detail)
    return Submitted(source, job)


def _artifacts(job: JobObject) -> Iterable[str]:
    artifacts = job.get("artifacts")
    return artifacts if isinstance(artifacts, Mapping) else ()


class JobsBar(Bar):
    """A bar with the number of finished photos, and the states of the running jobs."""

    def __init__(self, total: int) -> None:
        super().__init__("photos", total, TimeElapsedColumn(), told_column())
        self._states: dict[Source, str] = {}

    def show_state(self, source: Source, job: JobObject) -> None:
        """Show a job's new state."""
        self._states[source] = shown(job["state"])
        counts = Counter(state for state in self._states.values() if state not in FINISHED)
        self.update(self.task, told=", ".join(f"{count} {state}" for state, count in counts.items()))

    def done(self, submitted: Submitted) -> None:
        """Count a photo, and print its failure at once."""
        self.count(submitted.source.name, submitted.code, submitted.detail)


def print_submitted(submitted: Sequence[Submitted]) -> None:
    """Print a row for each photo, and the totals."""
    failed = sum(one.code is not None for one in submitted)
    caption = f"{len(submitted) - failed} of {len(submitted)} photos" + (f", {failed} failed" if failed else "")
    rows = table("photo", "job", "result", "where", caption=caption)
    for one in submitted:
        result = state_text(one.job) if one.job and not one.code else cell(one.code or "", "red")
        where = "" if one.code or one.source.photo is None else one.source.photo.target
        rows.add_row(cell(one.source.name), cell(one.job["id"] if one.job else ""), result, cell(where))
    screen().print(rows)


def print_submitted_json(submitted: Sequence[Submitted]) -> None:
    """Print the jobs as in the gateway's JSON, or the failure of a photo without a job."""
    print_json([one.job or {"error": {"code": one.code, "detail": one.detail}} for one in submitted])
