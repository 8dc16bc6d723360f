"""Jobs by the id in the address, and their views."""

from uuid import UUID

import structlog
from starlette.requests import Request

from gateway.access.callers import caller_of
from gateway.access.forwarded import base_of
from gateway.errors import Problem
from gateway.jobs.job import Job
from gateway.jobs.outbox_messages import Link, job_view
from gateway.services import services_of
from gateway.stores import Stores


def _job_id_of(request: Request) -> UUID:
    """The id in the address. Raises Problem `job_not_found` for what can be no id."""
    text = request.path_params["id"]
    try:
        return UUID(text)
    except ValueError as error:
        raise job_not_found(text[:60]) from error


async def job_of(request: Request) -> Job:
    """The job that the address names; another tenant's is none. Raises Problem `job_not_found`, `store_unavailable`."""
    job_id = _job_id_of(request)
    return _own(request, job_id, await services_of(request).stores.jobs.get(job_id))


async def any_job_of(request: Request) -> Job:
    """The same, or one that is being deleted."""
    jobs, job_id = services_of(request).stores.jobs, _job_id_of(request)
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
