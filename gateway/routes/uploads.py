"""`/upload`, `/batch-upload`, `/status/{id}` and `/batch/{id}`, as the blur pipeline has them."""

from uuid import UUID

from starlette.requests import Request
from starlette.responses import JSONResponse

from gateway.access.callers import caller_of
from gateway.errors import Problem
from gateway.http.middleware import trace_id_of
from gateway.intake.bodies import check_length, check_plain, encoding_of, read_body
from gateway.intake.requests import FILE, upload_request
from gateway.intake.submissions import check_form, start_check
from gateway.jobs.objects import is_upload
from gateway.jobs.store import JobFilter
from gateway.limits.sharing import visit_of
from gateway.routes.acceptance import accept
from gateway.routes.batches import MAX_FILES, accept_batch
from gateway.routes.job_views import job_not_found, job_of, link_of
from gateway.routes.upload_views import Places, batch_view, status_view, submitted_batch_view, upload_view
from gateway.services import services_of


async def upload(request: Request) -> JSONResponse:
    """Queue a photo to be blurred."""
    services, settings = services_of(request), services_of(request).settings
    kind = request.headers.get("content-type", "")
    check_form(kind)
    check_length(request, settings.max_body_bytes)
    taken = await read_body(
        request,
        services,
        lambda body: upload_request(body, kind, services.registry, settings),
        start_check(kind, (FILE,)),
    )
    with services.admission.place(visit_of(request)):
        submission = await accept(services, caller_of(request), taken.wanted, trace_id_of(request))
    return JSONResponse(upload_view(submission.job, taken.size))


async def batch_upload(request: Request) -> JSONResponse:
    """Queue many photos; what is wrong with one of them is told of that one alone.

    None may be compressed on its way: 32 MB could open to a thousand times as much, which nobody would have sent.
    """
    services = services_of(request)
    check_form(request.headers.get("content-type", ""))
    check_plain(encoding_of(request))
    check_length(request, MAX_FILES * services.settings.max_body_bytes)
    async with visit_of(request).yielding():
        taken = await accept_batch(request, services)
    return JSONResponse(submitted_batch_view(taken))


async def status(request: Request) -> JSONResponse:
    """What became of a photo."""
    job = await job_of(request)
    if not is_upload(job.request):
        raise job_not_found(job.id)
    return JSONResponse(status_view(job, _places(request)))


async def batch(request: Request) -> JSONResponse:
    """How far a batch is, and what became of each file."""
    services, batch_id = services_of(request), _batch_id_of(request)
    wanted = JobFilter(limit=MAX_FILES, tenant=caller_of(request).tenant, batch_id=batch_id)
    jobs = await services.stores.jobs.find(wanted)
    if not jobs:
        raise _batch_not_found(batch_id)
    return JSONResponse(batch_view(batch_id, jobs[::-1], _places(request)))


def _places(request: Request) -> Places:
    services = services_of(request)
    return Places(services.settings.minio_bucket if services.stores.durable else None, link_of(request))


def _batch_id_of(request: Request) -> UUID:
    """The id in the address. Raises Problem `job_not_found` for what can be no id."""
    text = request.path_params["id"]
    try:
        return UUID(text)
    except ValueError as error:
        raise _batch_not_found(text[:60]) from error


def _batch_not_found(batch_id: UUID | str) -> Problem:
    return Problem("job_not_found", f"No batch {batch_id}; its jobs may have been deleted.")
