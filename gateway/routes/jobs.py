"""`/v1/jobs`: submit, look up, list, cancel and delete jobs."""

from collections.abc import Mapping
from functools import partial
from uuid import UUID

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.access.callers import caller_of
from gateway.access.forwarded import location
from gateway.deadlines import answer_within
from gateway.http.middleware import trace_id_of
from gateway.http.queries import JobQuery
from gateway.intake.bodies import check_length, read_body
from gateway.intake.requests import JobRequest, job_request
from gateway.intake.submissions import check_media_type, query_fields, read_submission, start_check
from gateway.jobs.job import Job
from gateway.jobs.outbox_messages import Link, job_view
from gateway.jobs.store import JobFilter
from gateway.limits.sharing import visit_of
from gateway.pipelines.fields import validated
from gateway.routes.acceptance import accept
from gateway.routes.job_views import any_job_of, full_view, job_not_found, job_of, link_of
from gateway.services import Services, services_of
from gateway.worker.removals import Removals

_REMOVAL_S = 5.0
"""How long a caller waits for the object store; what it does not remove by then, a janitor does."""
_RETRY_AFTER_S = 5
_MOST_FOUND = 100


async def submit(request: Request) -> JSONResponse:
    """202 and the job; 200 where the same request came before."""
    services = services_of(request)
    kind = request.headers.get("content-type", "")
    check_media_type(kind)
    check_length(request, services.settings.max_body_bytes)
    wanted = await read_body(request, services, partial(_wanted, request, services), start_check(kind))
    with services.admission.place(visit_of(request)):
        submission = await accept(services, caller_of(request), wanted, trace_id_of(request))
    place, link = {"Location": _location(request, submission.job.id)}, link_of(request)
    if submission.result == "known":
        body = await full_view(services.stores, submission.job, link)
        return JSONResponse(body, 200, {**place, "Idempotent-Replayed": "true"})
    return JSONResponse(job_view(submission.job, link=link), 202, place)


async def show(request: Request) -> JSONResponse:
    """One job, with what became of its callbacks."""
    job = await any_job_of(request)
    return JSONResponse(await full_view(services_of(request).stores, job, link_of(request)))


async def find(request: Request) -> JSONResponse:
    """Jobs, the newest first, in pages."""
    stores = services_of(request).stores
    query = validated(JobQuery, query_fields(request.url.query))
    jobs = await stores.jobs.find(_filter(query, caller_of(request).tenant))
    page = jobs[: query.limit]
    following = str(page[-1].sequence) if len(jobs) > len(page) else None
    link = link_of(request)
    return JSONResponse({"jobs": [_brief(job, link) for job in page], "next": following})


async def cancel(request: Request) -> JSONResponse:
    """The job, which is finished now; one that was finished before stays as it was."""
    stores, job_id = services_of(request).stores, (await job_of(request)).id
    job = await stores.jobs.cancel(job_id)
    if job is None:
        raise job_not_found(job_id)
    return JSONResponse(await full_view(stores, job, link_of(request)))


async def delete(request: Request) -> Response:
    """204: the job is gone, its photo and masks too; 202 and the job where some are still to be removed."""
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


async def resend_callbacks(request: Request) -> JSONResponse:
    """How many failed callbacks are sent again."""
    job = await job_of(request)
    return JSONResponse({"resent": await services_of(request).stores.outbox.resend(job.id)})


def _wanted(request: Request, services: Services, body: bytes) -> JobRequest:
    submission = read_submission(body, request.headers.get("content-type", ""), request.url.query)
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
