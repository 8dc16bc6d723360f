"""From a checked request to a job in the store."""

import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import structlog

from gateway.access.callers import Caller, run_scope
from gateway.cache.cache import CacheHit
from gateway.cache.keys import Work
from gateway.errors import Problem
from gateway.intake.requests import JobRequest
from gateway.jobs.artifacts import ArtifactStore, InUseError
from gateway.jobs.job import ImageReference, NewJob, outcome_of
from gateway.jobs.objects import Bucket, parameters_key, photo_key, with_original
from gateway.jobs.store import JobFilter, Submission
from gateway.logs import get_logger
from gateway.results import Artifact, Stopwatch
from gateway.s3.images import check_owner
from gateway.services import Services

_log = get_logger(__name__)

_MEDIA_TYPE = "application/octet-stream"
"""Nobody but a worker reads them, and that looks at the bytes."""
_MOST_KEPT, _MOST_REMEMBERED = 64 * 1024, 4096
"""Characters of parameters that stay with a job in the database, for ever, or in memory, with 10,000 that ended; one
face's 478 landmarks have 30,000. Larger ones lie with the photo, as long as that does."""
_PATIENCE_S = 1.0
"""For another request of the same name that is being answered."""


async def accept(services: Services, caller: Caller, wanted: JobRequest, trace_id: str) -> Submission:
    """The job, newly made or known from before.

    Raises Problem `scope_missing`, `queue_full`, `idempotency_conflict`, `storage_unavailable`, `store_unavailable`;
    `invalid_parameters` for another tenant's image. Nothing is kept then, but for a photo and parameters whose job the
    database may or may not have.
    """
    caller.check(run_scope(wanted.pipeline))
    check_owner(wanted.image, caller.tenant, services.settings)
    job = _new_job(wanted, caller.tenant, trace_id)
    photo = wanted.image if isinstance(wanted.image, bytes) else None
    submission = await _answered(services, job, photo) if photo is not None else None
    submission = submission or await _queued(services, job, photo)
    if submission.result == "conflict":
        raise _conflict(job)
    structlog.contextvars.bind_contextvars(job_id=str(submission.job.id), user_id=job.user_id)
    if submission.job.outcome and submission.job.outcome.cached:
        _log.info("cache hit", pipeline=job.pipeline, timings_ms=dict(submission.job.outcome.timings_ms))
    return submission


async def _check_backlog(services: Services, job: NewJob) -> None:
    """A request that came before adds nothing to a full queue."""
    try:
        await services.backlog.check(job.tenant)
    except Problem as problem:
        if problem.code != "queue_full" or not await _came_before(services, job):
            raise


async def _came_before(services: Services, job: NewJob) -> bool:
    """Whether there is a job of this name; its artifacts have the same keys, and must stay what they are."""
    return bool(
        await services.stores.jobs.find(
            JobFilter(user_id=job.user_id, request_id=job.request_id, limit=1, tenant=job.tenant)
        )
    )


async def _has_to_wait(services: Services, job: NewJob) -> bool:
    """Whether the user's jobs before it go on: one user's jobs end in the order of their coming."""
    if not job.user_id:
        return False
    newest = await services.stores.jobs.find(JobFilter(user_id=job.user_id, limit=1, tenant=job.tenant))
    return any(not before.finished for before in newest)


async def _queued(services: Services, job: NewJob, photo: bytes | None) -> Submission:
    """Photo and large parameters first: a job that can be claimed must find them.

    Where the database fails to answer, the job may have been kept all the same: they then stay.
    """
    await _check_backlog(services, job)
    photos, inputs = services.stores.photos, dict[str, bytes]()
    if photo is not None:
        inputs[photo_key(job.id)] = photo
    if _are_large(services, job.parameters):
        inputs[parameters_key(job.id)] = job.parameters.encode()
        job = replace(job, parameters="", parameters_stored=True)
    await _store(photos, inputs)
    (submission,) = submissions = await services.stores.jobs.submit([job])
    services.instruments.tasks.submitted(submissions)
    if submission.job.id != job.id and inputs:
        await photos.remove(list(inputs))
    return submission


async def _store(photos: Bucket, inputs: Mapping[str, bytes]) -> None:
    """All or nothing, as far as the store answers."""
    try:
        for key, data in inputs.items():
            await photos.put(key, data, _MEDIA_TYPE)
    except Problem:
        with suppress(Problem):
            await photos.remove(list(inputs))
        raise


def _are_large(services: Services, parameters: str) -> bool:
    return len(parameters) > (_MOST_KEPT if services.stores.durable else _MOST_REMEMBERED)


async def _answered(services: Services, job: NewJob, photo: bytes) -> Submission | None:
    """The job that ended at once, where the cache has its outcome; None too where it is to be queued all the same.

    A result that is known needs neither room in the queue nor the photo.
    """
    watch = Stopwatch()
    with watch.stage("cache"):
        work = Work(services.registry[job.pipeline], photo, job.parameters.encode(), job.tenant)
        hit = await services.results.find(work)
    if hit is None or await _came_before(services, job) or await _has_to_wait(services, job):
        return None
    kept = with_original(job, photo, hit.value.artifacts)
    try:
        submission = await _end_at_once(services, job, kept, hit, watch)
    except InUseError:
        return None
    if submission and submission.result == "created" and job.counted:
        services.results.count(hit)
    return submission


async def _end_at_once(
    services: Services, job: NewJob, artifacts: Sequence[Artifact], hit: CacheHit, watch: Stopwatch
) -> Submission | None:
    """Write artifacts and keep the job, while nobody else writes under its name; None where another has the name.

    What is written where another job gets the name meanwhile, or the database does not answer, is removed by whoever
    holds the name next: before that one writes anything, or else by a janitor. Raises InUseError.
    """
    stores = services.stores
    keys, size = (
        ArtifactStore(stores.locks, stores.jobs, stores.artifacts),
        sum(len(artifact.data) for artifact in artifacts),
    )
    async with keys.held(job, _PATIENCE_S, size) as grip:
        if await _came_before(services, job):
            return None
        with watch.stage("store"):
            stored = await keys.store(grip, job, artifacts)
        outcome = outcome_of(hit.value, stored, watch.timings_ms, cached=True)
        ended = replace(job, outcome=outcome, lock=grip.lock.token)
        if _are_large(services, job.parameters):
            ended = replace(ended, parameters="")  # nobody will ever ask for them
        (submission,) = submissions = await stores.jobs.submit([ended])
        services.instruments.tasks.submitted(submissions)
        if submission.job.id == job.id:
            grip.state = "spent"
        return submission


def _new_job(wanted: JobRequest, tenant: str, trace_id: str) -> NewJob:
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
        tenant=tenant,
    )


def _conflict(job: NewJob) -> Problem:
    whose = f" of user {job.user_id!r}" if job.user_id else ""
    return Problem(
        "idempotency_conflict", f"request_id {job.request_id!r}{whose} came before with other content; send a new id."
    )
