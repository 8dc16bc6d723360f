"""From a checked request to a job in the store."""

import uuid

import structlog

from gateway.intake.job_request import JobRequest
from gateway.jobs.job import ImageReference, NewJob
from gateway.jobs.keys import photo_key
from gateway.jobs.store import JobFilter, Submission
from gateway.problems import Problem
from gateway.services import Services

_PHOTO_TYPE = "application/octet-stream"
"""Nobody but a worker reads it, and that looks at the bytes."""


async def accept(services: Services, wanted: JobRequest, trace_id: str) -> Submission:
    """The job, newly made or known from before.

    Raises Problem `queue_full`, `idempotency_conflict`, `storage_unavailable`, `store_unavailable`; nothing is kept
    then, but for a photo whose job the database may or may not have.
    """
    await _check_backlog(services, wanted)
    job = _new_job(wanted, trace_id)
    if isinstance(wanted.image, bytes):
        submission = await _submit_with_photo(services, job, wanted.image)
    else:
        (submission,) = await services.stores.jobs.submit([job])
    if submission.result == "conflict":
        raise _conflict(job)
    structlog.contextvars.bind_contextvars(job_id=str(submission.job.id), user_id=job.user_id)
    return submission


async def _check_backlog(services: Services, wanted: JobRequest) -> None:
    """A request that came before adds nothing to a full queue."""
    try:
        await services.backlog.check()
    except Problem as problem:
        before = JobFilter(user_id=wanted.user_id, request_id=wanted.request_id, limit=1)
        if problem.code != "queue_full" or not wanted.request_id or not await services.stores.jobs.find(before):
            raise


async def _submit_with_photo(services: Services, job: NewJob, photo: bytes) -> Submission:
    """Photo first: a job that can be claimed must find it.

    Where the database fails to answer, the job may have been kept all the same: its photo then stays.
    """
    key = job.image.location
    await services.stores.photos.put(key, photo, _PHOTO_TYPE)
    (submission,) = await services.stores.jobs.submit([job])
    if submission.result != "created":
        await services.stores.photos.remove([key])
    return submission


def _new_job(wanted: JobRequest, trace_id: str) -> NewJob:
    job_id = uuid.uuid4()
    return NewJob(
        id=job_id,
        pipeline=wanted.pipeline,
        user_id=wanted.user_id,
        request_id=wanted.request_id or uuid.uuid4().hex,
        fingerprint=wanted.fingerprint,
        parameters=wanted.parameters,
        image=wanted.image if isinstance(wanted.image, ImageReference) else ImageReference("photo", photo_key(job_id)),
        source=wanted.source,
        trace_id=trace_id,
        gender=wanted.gender,
        priority=wanted.priority,
        callbacks=wanted.callbacks,
    )


def _conflict(job: NewJob) -> Problem:
    whose = f" of user {job.user_id!r}" if job.user_id else ""
    return Problem(
        "idempotency_conflict", f"request_id {job.request_id!r}{whose} came before with other content; send a new id."
    )
