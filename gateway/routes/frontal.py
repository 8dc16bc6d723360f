"""`/api/v1/frontal/crop`, as the facial contour services have it."""

import asyncio
import json
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse

from gateway.access.callers import caller_of
from gateway.errors import Problem
from gateway.http.middleware import trace_id_of
from gateway.intake.bodies import check_length, read_body
from gateway.intake.requests import FRONTAL_PIPELINE, frontal_request
from gateway.intake.submissions import JSON, check_media_type, read_submission, start_check
from gateway.jobs.job import StoredArtifact
from gateway.jobs.objects import Bucket, ObjectMissingError
from gateway.limits.sharing import visit_of
from gateway.routes.acceptance import accept
from gateway.routes.artifacts import room_for
from gateway.routes.frontal_views import Drawing, status_view, submission_view
from gateway.routes.job_views import job_not_found, job_of
from gateway.services import services_of

_SVG, _CONTOURS = "contours.svg", "contours.json"


async def submit(request: Request) -> JSONResponse:
    """Queue a photo for its facial contours; a result that is cached is there at once.

    A body that says nothing of its type is JSON, as it was to the services of before.
    """
    services, settings = services_of(request), services_of(request).settings
    kind = request.headers.get("content-type", JSON)
    check_media_type(kind)
    check_length(request, settings.max_body_bytes)
    wanted = await read_body(
        request,
        services,
        lambda body: frontal_request(read_submission(body, kind, request.url.query), services.registry, settings),
        start_check(kind),
    )
    with services.admission.place(visit_of(request)):
        job = (await accept(services, caller_of(request), wanted, trace_id_of(request))).job
    wait_s = 0.0 if job.finished else await services.backlog.wait_s()
    return JSONResponse(submission_view(job, wait_s))


async def status(request: Request) -> JSONResponse:
    """What became of a submission, with the contours where it is completed."""
    job = await job_of(request)
    if job.request.pipeline != FRONTAL_PIPELINE:
        raise job_not_found(job.id)
    if job.outcome is None or job.outcome.failure:
        return JSONResponse(status_view(job, None))
    files = {artifact.name: artifact for artifact in job.outcome.artifacts if artifact.name in (_SVG, _CONTOURS)}
    async with room_for(request, 2 * sum(file.size for file in files.values())):  # themselves, and the answer
        drawing = await _drawing(services_of(request).stores.artifacts, files)
        return JSONResponse(status_view(job, drawing))


async def _drawing(bucket: Bucket, files: Mapping[str, StoredArtifact]) -> Drawing:
    """Raises Problem `artifact_not_found`."""
    try:
        svg, contours = await asyncio.gather(bucket.get(files[_SVG].key), bucket.get(files[_CONTOURS].key))
    except ObjectMissingError as error:
        raise Problem("artifact_not_found", "It was removed.") from error
    return Drawing(svg.data, json.loads(contours.data))
