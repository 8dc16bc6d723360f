"""From a checked request to a new job in the store: of one photo, or of each file of a batch."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Container, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from typing import TypeVar

import structlog
from starlette.requests import Request

from gateway.access.callers import Caller, caller_of, run_scope
from gateway.cache.cache import CacheHit
from gateway.cache.results import Work
from gateway.errors import Problem
from gateway.http.middleware import services_of, trace_id_of
from gateway.http.services import Services
from gateway.intake.bodies import (
    FIRST_BYTES,
    LEAST_RATE,
    BodyMemory,
    check_length,
    check_photo,
    pieces,
    read_body,
    too_large,
)
from gateway.intake.multipart import Part, PartParser
from gateway.intake.requests import FILES, JobRequest, upload_name, upload_parameters
from gateway.intake.submissions import IMAGE_PARTS, check_form, check_media_type, start_check
from gateway.jobs.job import ImageReference, Job, JobFilter, NewJob, Outcome, SubmittedJob, outcome_of, upload_source
from gateway.jobs.objects import (
    LONGEST_BATCH_S,
    UPLOAD_PIPELINE,
    ArtifactStore,
    Bucket,
    InUseError,
    parameters_key,
    photo_key,
    with_original,
)
from gateway.limits.admission import Claim
from gateway.limits.fairness import visit_of
from gateway.logs import get_logger
from gateway.pipelines.outputs import Artifact, Failure
from gateway.s3.buckets import check_owner
from gateway.timing import Deadline, Pace, Stopwatch

T = TypeVar("T")

_log = get_logger(__name__)

_MEDIA_TYPE = "application/octet-stream"
"""Of photos and parameters: only workers read them, and they look at the bytes."""
_MOST_KEPT, _MOST_REMEMBERED = 64 * 1024, 4096
"""Characters of parameters that are kept with a job: in the database for ever, in memory with 10,000 ended jobs. The
478 landmarks of one face have 30,000. Larger parameters are stored beside the photo, and removed with it."""
_PATIENCE_S = 1.0
"""How long to wait while another request of the same name is answered."""


async def read_wanted(
    request: Request,
    parse: Callable[[bytes, str], T],
    photos: Container[str] | None = None,
    usual_type: str = "",
) -> T:
    """What the body asks for, parsed from it and its media type, which is `usual_type` where the request names none.

    Forms alone are accepted where `photos` are the names of their fields that hold a photo. Raises Problem: those of
    `parse`, `check_media_type`, `check_length` and `read_body`.
    """
    services, kind = services_of(request), request.headers.get("content-type", usual_type)
    if photos is None:
        check_media_type(kind)
    else:
        check_form(kind)
    check_length(request, services.settings.max_body_bytes)
    check_start = start_check(kind, IMAGE_PARTS if photos is None else photos)
    return await read_body(request, services, lambda body: parse(body, kind), check_start)


async def accept(services: Services, caller: Caller, wanted: JobRequest, trace_id: str) -> SubmittedJob:
    """The job, newly made or known from before.

    Raises Problem `scope_missing`, `queue_full`, `idempotency_conflict`, `storage_unavailable`, `store_unavailable`;
    `invalid_parameters` for another tenant's image. Nothing is kept then, but for a photo and parameters whose job the
    database may or may not have.
    """
    caller.check(run_scope(wanted.pipeline))
    job = _new_job(wanted, uuid.uuid4(), caller.tenant, trace_id)
    if isinstance(wanted.image, bytes):
        photo = wanted.image
        submission = await _answered(services, job, photo) or await _queued(services, job, photo)
    else:
        check_owner(wanted.image, caller.tenant, services.settings)
        submission = await _queued(services, job, None)
    if submission.result == "conflict":
        raise _conflict(job)
    structlog.contextvars.bind_contextvars(job_id=str(submission.job.id), user_id=job.user_id)
    if submission.job.outcome and submission.job.outcome.cached:
        _log.info("cache hit", pipeline=job.pipeline, timings_ms=dict(submission.job.outcome.timings_ms))
    return submission


async def submit_job(request: Request, wanted: JobRequest) -> SubmittedJob:
    """The same for what an address was asked; the request counts as waiting until it is answered."""
    services = services_of(request)
    with services.admission.place(visit_of(request)):
        return await accept(services, caller_of(request), wanted, trace_id_of(request))


async def _check_backlog(services: Services, job: NewJob) -> None:
    """Raises Problem `queue_full`, unless the same request came before: it adds nothing to the queue."""
    try:
        await services.backlog.check(job.tenant)
    except Problem as problem:
        if problem.code != "queue_full" or not await _came_before(services, job):
            raise


async def _came_before(services: Services, job: NewJob) -> bool:
    """Whether there is a job of this name already. Its artifacts have the same keys, and must not be replaced."""
    return bool(
        await services.stores.jobs.find(
            JobFilter(user_id=job.user_id, request_id=job.request_id, limit=1, tenant=job.tenant)
        )
    )


async def _has_to_wait(services: Services, job: NewJob) -> bool:
    """Whether the user has an earlier job that is unfinished: one user's jobs end in the order in which they came."""
    if not job.user_id:
        return False
    newest = await services.stores.jobs.find(JobFilter(user_id=job.user_id, limit=1, tenant=job.tenant))
    return any(not before.finished for before in newest)


async def _queued(services: Services, job: NewJob, photo: bytes | None) -> SubmittedJob:
    """Photo and large parameters first: a job that can be claimed must find them.

    Where the database does not answer, it may still have kept the job: so photo and parameters stay then.
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
    """Store all of them, or remove those that were stored, as far as the store answers."""
    try:
        for key, data in inputs.items():
            await photos.put(key, data, _MEDIA_TYPE)
    except Problem:
        with suppress(Problem):
            await photos.remove(list(inputs))
        raise


def _are_large(services: Services, parameters: str) -> bool:
    return len(parameters) > (_MOST_KEPT if services.stores.durable else _MOST_REMEMBERED)


async def _answered(services: Services, job: NewJob, photo: bytes) -> SubmittedJob | None:
    """The job, ended at once, where the cache has its result; None where there is none, or the job has to be queued.

    A known result needs neither room in the queue nor the photo.
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
) -> SubmittedJob | None:
    """Write artifacts and keep the job, while nobody else writes under its name; None where another job has the name.

    Where another job gets the name meanwhile, or the database does not answer, the artifacts stay behind: the next
    holder of the name removes them before it writes anything, or else a janitor does. Raises InUseError.
    """
    stores = services.stores
    keys = ArtifactStore(stores.locks, stores.jobs, stores.artifacts)
    size = sum(len(artifact.data) for artifact in artifacts)
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


def _new_job(wanted: JobRequest, job_id: uuid.UUID, tenant: str, trace_id: str) -> NewJob:
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


MAX_FILES = 1000
_MAX_FIELDS = 64
_MAX_PARAMETERS = 16_384
_PIECE = 16_384
"""Bytes that are read without a pause for others: a hundred small files."""
_PHOTO_TYPE = "application/octet-stream"


@dataclass(frozen=True)
class Arrival:
    """A file that came, `size` in bytes; its photo is stored under the job's id, or it was refused."""

    job_id: uuid.UUID
    file_name: str
    size: int
    failure: Failure | None


@dataclass(frozen=True)
class Batch:
    """The files in their order, and their jobs; those of refused files have failed already."""

    batch_id: uuid.UUID
    arrivals: Sequence[Arrival]
    jobs: Sequence[Job]


async def accept_batch(request: Request, services: Services) -> Batch:
    """A job for every file, as far as the queue has room; of a request that fails as a whole nothing is kept.

    Raises Problem `queue_full`, `invalid_multipart`, `invalid_parameters`, `request_timeout`, `body_too_large`,
    `storage_unavailable`, `store_unavailable`.
    """
    tenant = caller_of(request).tenant
    await services.backlog.check(tenant)
    arrivals: list[Arrival] = []
    with services.backlog.claiming(tenant) as claim, ExitStack() as unendable:
        try:
            fields = [part async for part in _stored(request, services, claim, arrivals)]
            parameters = _small_enough(upload_parameters(fields, services.registry))
            unendable.enter_context(visit_of(request).ended_by(None))
        except BaseException:
            await _forget(services, arrivals)
            raise
        batch_id = uuid.uuid4()
        structlog.contextvars.bind_contextvars(job_id=str(batch_id))  # by which the audit log finds it
        new = [_batch_job(arrival, batch_id, parameters, request) for arrival in arrivals]
        submissions = await services.stores.jobs.submit(new)
    return Batch(batch_id, arrivals, [submission.job for submission in submissions])


async def _stored(request: Request, services: Services, claim: Claim, arrivals: list[Arrival]) -> AsyncIterator[Part]:
    """Adds the files to the arrivals, and gives the other fields."""
    async for part in _parts(request, services):
        if part.name != FILES:
            yield part
        elif len(arrivals) == MAX_FILES:
            raise Problem("invalid_parameters", f"{FILES}: at most {MAX_FILES} files are accepted")
        else:
            arrivals.append(await _arrival(request, services, claim, part))
    if not arrivals:
        raise Problem("invalid_parameters", f"{FILES}: Field required")


def _small_enough(parameters: str) -> str:
    """They are kept with each of the files. Raises Problem `field_too_large`."""
    if len(parameters) > _MAX_PARAMETERS:
        wrong = f"all fields but the files: {len(parameters)} characters; at most {_MAX_PARAMETERS} are accepted"
        raise Problem("field_too_large", wrong)
    return parameters


async def _parts(request: Request, services: Services) -> AsyncIterator[Part]:
    """The form's parts as they come. Only contents count against the time limit: headers and boundaries buy no time.

    Raises Problem `request_timeout`, `queue_full`, `body_too_large`, `invalid_multipart`.
    """
    settings, whole = services.settings, Deadline(LONGEST_BATCH_S)
    most, pace = settings.max_body_bytes, Pace(settings.request_timeout_s, LEAST_RATE)
    parser = PartParser(request.headers.get("content-type", ""), (FILES,), MAX_FILES + _MAX_FIELDS, most)
    room, fields, received = BodyMemory(visit_of(request), services.admission, whole, most, FIRST_BYTES), 0, 0
    await room.grow(FIRST_BYTES)
    async for piece in pieces(request, pace, whole, "batch"):
        received += len(piece)
        if received > MAX_FILES * most:
            raise too_large(MAX_FILES * most)
        before = parser.content_bytes
        for start in range(0, len(piece), _PIECE):
            for part in parser.feed(piece[start : start + _PIECE]):
                yield part
                fields += part.size if part.name != FILES else 0
            await asyncio.sleep(0)
        pace.count(parser.content_bytes - before)
        await room.resize(fields + parser.kept_bytes)
    parser.finish()


async def _arrival(request: Request, services: Services, claim: Claim, part: Part) -> Arrival:
    """A refused file is no reason to refuse the others; a store that does not answer is."""
    job_id, name, failure = uuid.uuid4(), upload_name(part), None
    try:
        await _keep(request, services, claim, job_id, part)
    except Problem as problem:
        if problem.type.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise
        wait_s = problem.headers.get("Retry-After")
        failure = Failure(problem.code, problem.detail + (f" Send this file again in {wait_s} s." if wait_s else ""))
    return Arrival(job_id, name, part.size, failure)


async def _keep(request: Request, services: Services, claim: Claim, job_id: uuid.UUID, part: Part) -> None:
    settings = services.settings
    if part.size > settings.max_body_bytes:
        raise too_large(settings.max_body_bytes)
    checked = partial(_checked, part, settings.max_pixels)
    by = Deadline(settings.request_timeout_s)
    photo = await services.admission.off_loop(visit_of(request), part.size, checked, by)
    await claim()
    await services.stores.photos.put(photo_key(job_id), photo, _PHOTO_TYPE)


def _checked(part: Part, max_pixels: int) -> bytes:
    check_photo(photo := part.data, max_pixels)
    return photo


async def _forget(services: Services, arrivals: Sequence[Arrival]) -> None:
    """Remove the photos; where the store does not answer, a worker removes them later."""
    with suppress(Problem):
        await services.stores.photos.remove([photo_key(one.job_id) for one in arrivals if one.failure is None])


def _batch_job(arrival: Arrival, batch_id: uuid.UUID, parameters: str, request: Request) -> NewJob:
    wanted = JobRequest(
        pipeline=UPLOAD_PIPELINE,
        parameters=parameters,
        image=ImageReference("photo", photo_key(arrival.job_id)),
        user_id="",
        request_id=uuid.uuid4().hex,
        source=upload_source(arrival.file_name),
    )
    job = _new_job(wanted, arrival.job_id, caller_of(request).tenant, trace_id_of(request))
    return replace(job, outcome=Outcome(failure=arrival.failure) if arrival.failure else None, batch_id=batch_id)
