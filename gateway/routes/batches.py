"""Many photos in one form: each is stored as it comes, and all become jobs together."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

import structlog
from starlette.requests import Request

from gateway.access.callers import caller_of
from gateway.deadlines import Deadline, Pace
from gateway.errors import Problem
from gateway.http.middleware import trace_id_of
from gateway.intake.bodies import FIRST_BYTES, LEAST_RATE, Room, pieces, too_large
from gateway.intake.images import check_photo
from gateway.intake.multipart import Part, PartParser
from gateway.intake.requests import FILES, upload_name, upload_parameters
from gateway.jobs.job import ImageReference, Job, NewJob, Outcome, fingerprint
from gateway.jobs.objects import LONGEST_BATCH_S, UPLOAD_PIPELINE, photo_key, upload_source
from gateway.limits.backlog import Claim
from gateway.limits.sharing import visit_of
from gateway.results import Failure
from gateway.services import Services

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
    with services.backlog.claim(tenant) as claim, ExitStack() as unendable:
        try:
            fields = [part async for part in _stored(request, services, claim, arrivals)]
            parameters = _small_enough(upload_parameters(fields, services.registry))
            unendable.enter_context(visit_of(request).ended_by(None))
        except BaseException:
            await _forget(services, arrivals)
            raise
        batch_id = uuid.uuid4()
        structlog.contextvars.bind_contextvars(job_id=str(batch_id))  # by which the audit log finds it
        new = [_new_job(arrival, batch_id, parameters, request) for arrival in arrivals]
        submissions = await services.stores.jobs.submit(new)
        services.instruments.tasks.submitted(submissions)
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
    """The form's parts as they come. Contents alone count as useful: headers and boundaries buy no time.

    Raises Problem `request_timeout`, `queue_full`, `body_too_large`, `invalid_multipart`.
    """
    settings, whole = services.settings, Deadline(LONGEST_BATCH_S)
    most, pace = settings.max_body_bytes, Pace(settings.request_timeout_s, LEAST_RATE)
    parser = PartParser(request.headers.get("content-type", ""), (FILES,), MAX_FILES + _MAX_FIELDS, most)
    room, fields, received = Room(visit_of(request), services.admission, whole, most, FIRST_BYTES), 0, 0
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
    await claim.one()
    await services.stores.photos.put(photo_key(job_id), photo, _PHOTO_TYPE)


def _checked(part: Part, max_pixels: int) -> bytes:
    check_photo(photo := part.data, max_pixels)
    return photo


async def _forget(services: Services, arrivals: Sequence[Arrival]) -> None:
    """What is left because the store does not answer, a worker removes."""
    with suppress(Problem):
        await services.stores.photos.remove([photo_key(one.job_id) for one in arrivals if one.failure is None])


def _new_job(arrival: Arrival, batch_id: uuid.UUID, parameters: str, request: Request) -> NewJob:
    image = ImageReference("photo", photo_key(arrival.job_id))
    return NewJob(
        id=arrival.job_id,
        pipeline=UPLOAD_PIPELINE,
        user_id="",
        request_id=uuid.uuid4().hex,
        fingerprint=fingerprint(UPLOAD_PIPELINE, parameters, image),
        parameters=parameters,
        image=image,
        source=upload_source(arrival.file_name),
        trace_id=trace_id_of(request),
        outcome=Outcome(failure=arrival.failure) if arrival.failure else None,
        tenant=caller_of(request).tenant,
        batch_id=batch_id,
    )
