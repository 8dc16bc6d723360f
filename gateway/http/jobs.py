"""`/v1/jobs`: submit, look at, list, cancel and delete jobs, and get the files that they made."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import PurePosixPath
from typing import Annotated
from uuid import UUID

import structlog
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.access.callers import caller_of
from gateway.access.forwarded import base_of, location
from gateway.errors import Problem
from gateway.http.middleware import services_of
from gateway.http.new_jobs import read_wanted, submit_job
from gateway.http.openapi import (
    INTERNAL_ERRORS,
    JOB_ERRORS,
    JOB_ID,
    LIST_ERRORS,
    MOST_LISTED,
    SUBMISSION_ERRORS,
    TEXT,
    Address,
    Addresses,
    Cursor,
    Query,
    Responses,
    answers,
    answers_nothing,
    fields_of,
    fields_of_any,
    file_schema,
    in_path,
    in_query,
    job_bodies,
    parameters_schema,
    query_parameters,
)
from gateway.http.run import disposition
from gateway.intake.requests import DEFAULT_PIPELINE, JobFields, JobRequest, job_request
from gateway.intake.submissions import JSON, read_submission
from gateway.jobs.job import ID_CHARACTERS, Job, JobFilter, JobState, StoredArtifact
from gateway.jobs.objects import Bucket, ObjectMissingError, StoredObject, is_of_tenant
from gateway.jobs.view import COMPLETED, QUEUED, JobSummary, JobView, Link, job_view
from gateway.limits.fairness import visit_of
from gateway.pipelines.outputs import MEDIA_TYPES, Answer, Count
from gateway.pipelines.registry import Pipeline
from gateway.stores import Stores
from gateway.timing import Deadline, answer_within
from gateway.worker.retention import Removals

_REMOVAL_S = 5.0
"""How long a caller waits for the object store; what it does not remove by then, a janitor does."""
_RETRY_AFTER_S = 5
_MOST_FOUND = 100
_HEADERS = (
    ("Idempotency-Key", "Names the request, like `request_id`: the same request again gives the same job."),
    ("traceparent", "W3C Trace Context: the job and its messages belong to this trace."),
)
_LOCATION = {"Location": {"description": "The job's address.", "schema": TEXT}}
_REPLAYED = {"Idempotent-Replayed": {"description": "The job was known.", "schema": {"const": "true"}}}


class JobPage(Answer):
    """Jobs, the newest first."""

    jobs: list[JobSummary]
    next: str | None = Field(description="The `cursor` of the next page; null on the last.", examples=["41"])


class Resent(Answer):
    """Callbacks that are sent again."""

    resent: Count = Field(examples=[1])


JOBS = Addresses()
_BRIEF = {name: value for name, value in COMPLETED.items() if name in JobSummary.model_fields}
_PAGE = answers(JobPage, "One page.", example=JobPage.example(jobs=[_BRIEF]))


async def submit(request: Request) -> JSONResponse:
    """Queue a photo for a pipeline.

    202 and the job; 200 where the same request came before.
    """
    submission = await submit_job(request, await read_wanted(request, partial(_wanted, request)))
    place, link = {"Location": _location(request, submission.job.id)}, link_of(request)
    if submission.result == "known":
        body = await full_view(services_of(request).stores, submission.job, link)
        return JSONResponse(body, 200, {**place, "Idempotent-Replayed": "true"})
    return JSONResponse(job_view(submission.job, link=link), 202, place)


def submission(registry: Mapping[str, Pipeline]) -> Address:
    """`POST /v1/jobs`: the fields are those of every pipeline; the example has those of the usual one."""
    own = fields_of(JobFields)
    usual = registry.get(DEFAULT_PIPELINE, next(iter(registry.values())))
    fields = {**own, **fields_of_any(registry)}
    headers = [{"name": name, "in": "header", "description": text, "schema": TEXT} for name, text in _HEADERS]
    known = "The same request came before: this is its job."
    return Address(
        "POST /v1/jobs",
        submit,
        {
            **answers(JobView, "The job waits; ask its address.", 202, QUEUED, _LOCATION),
            **answers(JobView, known, 200, COMPLETED, {**_LOCATION, **_REPLAYED}),
        },
        SUBMISSION_ERRORS,
        [*headers, *query_parameters(fields)],
        job_bodies(fields, {**own, **parameters_schema(usual)["properties"]}),
    )


@JOBS.serve("GET /v1/jobs/{id}", answers(JobView, "The job.", example=COMPLETED), JOB_ERRORS, JOB_ID)
async def show(request: Request) -> JSONResponse:
    """Look at a job.

    One job, with what became of its callbacks.
    """
    job = await any_job_of(request)
    return JSONResponse(await full_view(services_of(request).stores, job, link_of(request)))


_Id = Annotated[str, Field(max_length=ID_CHARACTERS, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]


class JobQuery(Query):
    """Which jobs to list."""

    state: JobState | None = Field(None, description="Only jobs of this state.")
    user_id: _Id | None = Field(None, description="Only this user's jobs.")
    request_id: _Id | None = Field(None, description="Only jobs of requests of this id.")
    pipeline: _Id | None = Field(None, description="Only jobs of this pipeline.")
    limit: int = Field(50, ge=1, le=MOST_LISTED, description="Jobs a page.")
    cursor: Cursor = None


@JOBS.serve("GET /v1/jobs", _PAGE, LIST_ERRORS, in_query(JobQuery))
async def find(request: Request) -> JSONResponse:
    """List jobs, the newest first.

    Jobs, the newest first, in pages.
    """
    stores = services_of(request).stores
    query = JobQuery.of(request)
    jobs = await stores.jobs.find(_filter(query, caller_of(request).tenant))
    page = jobs[: query.limit]
    following = str(page[-1].sequence) if len(jobs) > len(page) else None
    link = link_of(request)
    return JSONResponse({"jobs": [_brief(job, link) for job in page], "next": following})


@JOBS.serve(
    "POST /v1/jobs/{id}/cancel",
    answers(JobView, "The job; it is finished now, or was before.", example=COMPLETED),
    JOB_ERRORS,
    JOB_ID,
)
async def cancel(request: Request) -> JSONResponse:
    """Cancel an unfinished job.

    The job, which is finished now; one that was finished before stays as it was.
    """
    stores, job_id = services_of(request).stores, (await job_of(request)).id
    job = await stores.jobs.cancel(job_id)
    if job is None:
        raise job_not_found(job_id)
    return JSONResponse(await full_view(stores, job, link_of(request)))


_WAITS = (
    "The job is `deleting`: S3 keeps some of its objects, or a worker may still write some; they are removed later."
)
_DELETED = {
    **answers_nothing("The job is gone, its photo and its masks too."),
    **answers(JobView, _WAITS, 202, {**COMPLETED, "state": "deleting", "artifacts": {}}),
}


@JOBS.serve("DELETE /v1/jobs/{id}", _DELETED, JOB_ERRORS, JOB_ID)
async def delete(request: Request) -> Response:
    """Delete a job, cancelling it first.

    204: the job is gone, its photo and masks too; 202 and the job where some are still to be removed.
    """
    stores, job_id = services_of(request).stores, (await any_job_of(request)).id
    job = await stores.jobs.delete(job_id) or await stores.jobs.deleting(job_id)
    if job is None:
        raise job_not_found(job_id)
    if await answer_within(_REMOVAL_S, Removals(stores).remove(job)):
        return Response(status_code=204)
    left = await stores.jobs.deleting(job_id)
    if left is None:  # a janitor was quicker
        return Response(status_code=204)
    body = await full_view(stores, left, link_of(request))
    return JSONResponse(body, 202, {"Location": _location(request, job_id), "Retry-After": str(_RETRY_AFTER_S)})


@JOBS.serve(
    "POST /v1/jobs/{id}/callbacks/resend", answers(Resent, "How many callbacks had failed."), JOB_ERRORS, JOB_ID
)
async def resend_callbacks(request: Request) -> Response:
    """Send the callbacks again that failed.

    How many failed callbacks are sent again.
    """
    job = await job_of(request)
    return Resent.model_construct(resent=await services_of(request).stores.outbox.resend(job.id)).response()


_FILE: Responses = {
    200: {
        "description": "The file.",
        "content": {kind: {"schema": {} if kind == JSON else file_schema(kind)} for kind in MEDIA_TYPES.values()},
        "headers": {"ETag": {"description": "For If-None-Match.", "schema": TEXT}},
    },
    304: {"description": "`If-None-Match` names what the file still is."},
}
_LINKED_ERRORS = ("artifact_not_found", "queue_full", *INTERNAL_ERRORS)
_ARTIFACT_ERRORS = ("job_unfinished", "storage_unavailable", *JOB_ERRORS, *_LINKED_ERRORS)


@JOBS.serve(
    "GET /v1/jobs/{id}/artifacts/{name:path}",
    _FILE,
    _ARTIFACT_ERRORS,
    in_path(id="The job's id.", name="The artifact's name, such as upper_body_mask.png."),
)
async def artifact(request: Request) -> Response:
    """Get a file that a job made.

    A file of a finished job, as soon as there is room for it; 304 for one that the client has.
    """
    job, name = await job_of(request), request.path_params["name"]
    found = _find(job, name)
    headers = {"ETag": f'"{job.id.hex}"', "Cache-Control": "private, no-cache"}  # what an outcome names never changes
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    async with room_for(request, found.size):
        stored = await _read(services_of(request).stores.artifacts, found.key)
    return Response(stored.data, media_type=found.media_type, headers={**headers, **disposition("inline", name)})


@JOBS.serve("GET /v1/artifacts/{key:path}", _FILE, _LINKED_ERRORS, in_path(key="The artifact's key."))
async def linked(request: Request) -> Response:
    """Get a file by its link, where there is no object store.

    A file by its key, as soon as there is room: where there is no object store to link to, links lead here.
    """
    stores, key = services_of(request).stores, request.path_params["key"]
    if stores.durable:
        raise Problem("artifact_not_found", "Files are linked to in the object store.")
    if not is_of_tenant(key, caller_of(request).tenant):
        raise _removed()
    stored = await _read(stores.artifacts, key)
    headers = {"Cache-Control": "private, no-cache", **disposition("inline", PurePosixPath(key).name)}
    async with room_for(request, len(stored.data)):  # a slow client keeps them when they are removed
        return Response(stored.data, media_type=stored.media_type, headers=headers)


def id_in_path(request: Request, unknown: Callable[[str], Problem]) -> UUID:
    """The id in the address. Raises the Problem of an unknown one for what can be no id."""
    text = request.path_params["id"]
    try:
        return UUID(text)
    except ValueError as error:
        raise unknown(text[:60]) from error


async def job_of(request: Request) -> Job:
    """The job that the address names; another tenant's is none. Raises Problem `job_not_found`, `store_unavailable`."""
    job_id = id_in_path(request, job_not_found)
    return _own(request, job_id, await services_of(request).stores.jobs.get(job_id))


async def any_job_of(request: Request) -> Job:
    """The same, or one that is being deleted."""
    jobs, job_id = services_of(request).stores.jobs, id_in_path(request, job_not_found)
    return _own(request, job_id, await jobs.get(job_id) or await jobs.deleting(job_id))


def _own(request: Request, job_id: UUID, job: Job | None) -> Job:
    if job is None or job.request.tenant != caller_of(request).tenant:
        raise job_not_found(job_id)
    structlog.contextvars.bind_contextvars(job_id=str(job.id))
    return job


def job_not_found(job_id: UUID | str) -> Problem:
    """The problem of an id that no job has."""
    return Problem("job_not_found", f"No job {job_id}; it may have been deleted.")


def link_of(request: Request) -> Link:
    """The links of an answer: where they lead to the gateway, as the client reaches it."""
    return services_of(request).stores.links(base_of(request))


async def full_view(stores: Stores, job: Job, link: Link) -> dict[str, object]:
    """A job and its callbacks, as answered."""
    return job_view(job, await stores.outbox.of_job(job.id), link=link)


def _wanted(request: Request, body: bytes, kind: str) -> JobRequest:
    services, submission = services_of(request), read_submission(body, kind, request.url.query)
    return job_request(submission, request.headers.get("idempotency-key"), services.registry, services.settings)


def _filter(query: JobQuery, tenant: str) -> JobFilter:
    """One more than the page holds tells whether there is a next page."""
    fields = (query.state, query.user_id, query.request_id, query.pipeline, query.cursor)
    return JobFilter(*fields, limit=query.limit + 1, tenant=tenant, deleting=True)


def _location(request: Request, job_id: UUID) -> str:
    return location(request, f"/v1/jobs/{job_id}")


def _brief(job: Job, link: Link) -> Mapping[str, object]:
    """Without long lists of what was found, which a page of jobs would have by the hundred."""
    view = job_view(job, link=link)
    return {
        name: value
        for name, value in view.items()
        if name != "callbacks" and not (isinstance(value, list) and len(value) > _MOST_FOUND)
    }


def room_for(request: Request, size: int) -> AbstractAsyncContextManager[None]:
    """Memory for so many bytes of an answer, in the time of a request. Raises Problem `queue_full`."""
    services = services_of(request)
    return services.admission.room(visit_of(request), size, Deadline(services.settings.request_timeout_s))


def _find(job: Job, name: str) -> StoredArtifact:
    """Raises Problem `job_unfinished`, `artifact_not_found`."""
    if not job.outcome:
        raise Problem("job_unfinished", f"The job is {job.state}; try again.")
    artifacts = {artifact.name: artifact for artifact in job.outcome.artifacts}
    if name not in artifacts:
        raise Problem("artifact_not_found", f"The job has: {', '.join(artifacts) or 'none, because it failed'}.")
    return artifacts[name]


async def _read(bucket: Bucket, key: str) -> StoredObject:
    try:
        return await bucket.get(key)
    except ObjectMissingError as error:
        raise _removed() from error


def _removed() -> Problem:
    return Problem("artifact_not_found", "It was removed.")
