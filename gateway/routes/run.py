"""`POST /v1/run/{pipeline}`: a photo in, its artifacts out."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from gateway.access.callers import caller_of
from gateway.cache.keys import Work
from gateway.deadlines import Deadline
from gateway.http.answers import answer, check_accept, server_timing
from gateway.http.middleware import request_id_of, while_connected
from gateway.inference import Turn, inference_of
from gateway.intake.bodies import check_length, read_body
from gateway.intake.images import check_photo, inline_photo
from gateway.intake.submissions import check_media_type, read_submission, start_check
from gateway.limits.sharing import Visit, visit_of
from gateway.pipelines.registry import Pipeline, parameters_json, unknown_pipeline
from gateway.results import InferenceResult, Stopwatch
from gateway.services import Services, services_of

Handler = Callable[[Request], Awaitable[Response]]


def run_with(pipeline: Pipeline) -> Handler:
    """The handler of one pipeline's address."""

    async def run(request: Request) -> Response:
        return await _run(request, services_of(request), pipeline)

    return run


async def run_unknown(request: Request) -> Response:
    """Any other pipeline's address."""
    raise unknown_pipeline(services_of(request).registry, request.path_params["pipeline"])


async def _run(request: Request, services: Services, pipeline: Pipeline) -> Response:
    accept = request.headers.get("accept")
    check_accept(accept, pipeline)
    kind = request.headers.get("content-type", "")
    check_media_type(kind)
    check_length(request, services.settings.max_body_bytes)
    deadline = Deadline(services.settings.request_timeout_s)
    visit = visit_of(request)
    work = await read_body(request, services, partial(_work, request, services, pipeline), start_check(kind), deadline)
    async with visit.yielding():
        with services.admission.place(visit):
            served = await while_connected(request, _serve(services, work, visit, request_id_of(request), deadline))
    size = sum(len(artifact.data) for artifact in served.inference.artifacts)
    told = partial(answer, accept, request_id_of(request), pipeline, served.inference)
    response = await services.admission.off_loop(visit, size, told, deadline)
    response.headers.update({"Server-Timing": server_timing(served.stages.items()), **served.headers})
    return response


@dataclass(frozen=True)
class _Served:
    """An inference, made now or before, the milliseconds spent on it, and where it came from."""

    inference: InferenceResult
    stages: Mapping[str, float]
    headers: Mapping[str, str]


def _work(request: Request, services: Services, pipeline: Pipeline, body: bytes) -> Work:
    """The checked photo, and the checked parameters as JSON."""
    submission = read_submission(body, request.headers.get("content-type", ""), request.url.query)
    parameters = parameters_json(pipeline, submission.fields)
    image = inline_photo(submission.image)
    check_photo(image, services.settings.max_pixels)
    return Work(pipeline, image, parameters, caller_of(request).tenant)


async def _serve(services: Services, work: Work, visit: Visit, request_id: str, deadline: Deadline) -> _Served:
    watch, came = Stopwatch(), datetime.now(UTC)
    turn = Turn("wait", partial(services.admission.turn, visit))
    async with services.inferences.result(work, turn, deadline, watch) as (found, value):
        entry = found.entry(value, request_id, came)
        await services.results.keep(entry)
    services.results.count(found.hit or entry)
    return _Served(inference_of(value, found.headers), watch.timings_ms, found.headers)
