"""`GET /v1/jobs/{id}/artifacts/{name}`, and in memory mode `GET /v1/artifacts/{key}`: the bytes of what was made."""

from contextlib import AbstractAsyncContextManager
from pathlib import PurePosixPath

from starlette.requests import Request
from starlette.responses import Response

from gateway.access.callers import caller_of
from gateway.deadlines import Deadline
from gateway.errors import Problem
from gateway.http.answers import disposition
from gateway.jobs.job import Job, StoredArtifact
from gateway.jobs.objects import Bucket, ObjectMissingError, StoredObject, is_of_tenant
from gateway.limits.sharing import visit_of
from gateway.routes.job_views import job_of
from gateway.services import services_of


async def artifact(request: Request) -> Response:
    """A file of a finished job, as soon as there is room for it; 304 for one that the client has."""
    job, name = await job_of(request), request.path_params["name"]
    found = _find(job, name)
    headers = {"ETag": f'"{job.id.hex}"', "Cache-Control": "private, no-cache"}  # what an outcome names never changes
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    async with room_for(request, found.size):
        stored = await _read(services_of(request).stores.artifacts, found.key)
    return Response(stored.data, media_type=found.media_type, headers={**headers, **disposition("inline", name)})


async def linked(request: Request) -> Response:
    """A file by its key, as soon as there is room: where there is no object store to link to, links lead here."""
    stores, key = services_of(request).stores, request.path_params["key"]
    if stores.durable:
        raise Problem("artifact_not_found", "Files are linked to in the object store.")
    if not is_of_tenant(key, caller_of(request).tenant):
        raise _removed()
    stored = await _read(stores.artifacts, key)
    headers = {"Cache-Control": "private, no-cache", **disposition("inline", PurePosixPath(key).name)}
    async with room_for(request, len(stored.data)):  # a slow client keeps them when they are removed
        return Response(stored.data, media_type=stored.media_type, headers=headers)


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
