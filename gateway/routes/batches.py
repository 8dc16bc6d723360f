"""Many photos in one form: each is stored as it comes, and all become jobs together."""

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus

import structlog
from starlette.requests import Request

from gateway.access.caller import caller_of
from gateway.deadline import Deadline
from gateway.intake.body import too_large
from gateway.intake.images import check_photo
from gateway.intake.parts import Part, PartParser
from gateway.intake.upload_form import FILES, upload_name, upload_parameters
from gateway.jobs.identity import fingerprint
from gateway.jobs.job import Failure, ImageReference, Job, NewJob, Outcome
from gateway.jobs.keys import photo_key
from gateway.jobs.uploads import LONGEST_BATCH_S, PIPELINE, upload_source
from gateway.middleware import trace_id_of
from gateway.problems import Problem
from gateway.services import Services

MAX_FILES = 1000
_MAX_FIELDS = 64
_MAX_FIELD_BYTES = 65_536
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
    """A job for every file; of a request that fails as a whole nothing is kept.

    Raises Problem `queue_full`, `invalid_multipart`, `invalid_parameters`, `request_timeout`, `storage_unavailable`,
    `store_unavailable`.
    """
    await services.backlog.check()
    arrivals: list[Arrival] = []
    try:
        fields = [part async for part in _stored(request, services, arrivals)]
        parameters = upload_parameters(fields, services.registry)
    except BaseException:
        await _forget(services, arrivals)
        raise
    batch_id = uuid.uuid4()
    structlog.contextvars.bind_contextvars(job_id=str(batch_id))  # by which the audit log finds it
    new = [_new_job(arrival, batch_id, parameters, request) for arrival in arrivals]
    submissions = await services.stores.jobs.submit(new)
    return Batch(batch_id, arrivals, [submission.job for submission in submissions])


async def _stored(request: Request, services: Services, arrivals: list[Arrival]) -> AsyncIterator[Part]:
    """Adds the files to the arrivals, and gives the other fields."""
    async for part in _parts(request, services):
        if part.name != FILES:
            yield _small(part)
        elif len(arrivals) == MAX_FILES:
            raise Problem("invalid_parameters", f"{FILES}: at most {MAX_FILES} files are accepted")
        else:
            arrivals.append(await _arrival(services, part))
    if not arrivals:
        raise Problem("invalid_parameters", f"{FILES}: Field required")


def _small(part: Part) -> Part:
    """A field, which is kept until the last file has come."""
    if part.size > _MAX_FIELD_BYTES:
        wrong = f"{part.name[:60]!r}: at most {_MAX_FIELD_BYTES} bytes are accepted; photos go into the field {FILES!r}"
        raise Problem("invalid_parameters", wrong)
    return part


async def _parts(request: Request, services: Services) -> AsyncIterator[Part]:
    """The form's parts as they come, each within the time of a request. Raises Problem `request_timeout`."""
    limit_s, most = services.settings.request_timeout_s, services.settings.max_body_bytes
    parser = PartParser(request.headers.get("content-type", ""), MAX_FILES + _MAX_FIELDS, most)
    chunks, whole, deadline = aiter(request.stream()), Deadline(LONGEST_BATCH_S), Deadline(limit_s)
    while chunk := await _chunk(chunks, deadline, whole):
        for part in parser.feed(chunk):
            yield part
            deadline = Deadline(limit_s)
    parser.finish()


async def _chunk(chunks: AsyncIterator[bytes], file: Deadline, batch: Deadline) -> bytes:
    """The next piece; nothing at the end. Raises Problem `request_timeout`."""
    try:
        with batch.enforce(), file.enforce():
            return await anext(chunks, b"")
    except TimeoutError as error:
        late, what = (file, "a file") if batch.remaining() > 0 else (batch, "the whole batch")
        raise Problem("request_timeout", f"Waited {late.limit_s:g} s for {what}.") from error


async def _arrival(services: Services, part: Part) -> Arrival:
    """A refused file is no reason to refuse the others; a store that does not answer is."""
    job_id, name, failure = uuid.uuid4(), upload_name(part), None
    try:
        await _keep(services, job_id, part)
    except Problem as problem:
        if problem.type.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise
        failure = Failure(problem.code, problem.detail)
    return Arrival(job_id, name, part.size, failure)


async def _keep(services: Services, job_id: uuid.UUID, part: Part) -> None:
    limit = services.settings.max_body_bytes
    if part.size > limit:
        raise too_large(limit)
    check_photo(photo := part.data, services.settings.max_pixels)
    await services.stores.photos.put(photo_key(job_id), photo, _PHOTO_TYPE)


async def _forget(services: Services, arrivals: Sequence[Arrival]) -> None:
    """What is left because the store does not answer, a worker removes."""
    with suppress(Problem):
        await services.stores.photos.remove([photo_key(one.job_id) for one in arrivals if one.failure is None])


def _new_job(arrival: Arrival, batch_id: uuid.UUID, parameters: str, request: Request) -> NewJob:
    image = ImageReference("photo", photo_key(arrival.job_id))
    return NewJob(
        id=arrival.job_id,
        pipeline=PIPELINE,
        user_id="",
        request_id=uuid.uuid4().hex,
        fingerprint=fingerprint(PIPELINE, parameters, image),
        parameters=parameters,
        image=image,
        source=upload_source(arrival.file_name),
        trace_id=trace_id_of(request),
        outcome=Outcome(failure=arrival.failure) if arrival.failure else None,
        tenant=caller_of(request).tenant,
        batch_id=batch_id,
    )
