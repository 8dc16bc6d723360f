"""`POST /v1/run/{pipeline}`: a photo in, its artifacts out."""

import time
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response

from gateway.answers import answer, check_accept, server_timing
from gateway.artifacts import InferenceResult
from gateway.deadline import Deadline
from gateway.disconnect import while_connected
from gateway.intake.body import check_length, read_body_by
from gateway.intake.images import check_photo, inline_photo
from gateway.intake.media import check_media_type, read_submission
from gateway.middleware import request_id_of
from gateway.pipelines.parameters import parameters_json
from gateway.pipelines.pipeline import Pipeline
from gateway.pipelines.registry import unknown_pipeline
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
    check_media_type(request.headers.get("content-type", ""))
    check_length(request, services.settings.max_body_bytes)
    deadline = Deadline(services.settings.request_timeout_s)
    with services.admission.place():
        body = await read_body_by(request, services.settings.max_body_bytes, deadline)
        image, parameters = _work(request, services, pipeline, body)
        inference, stages = await while_connected(request, _infer(services, pipeline, image, parameters, deadline))
    response = answer(accept, request_id_of(request), pipeline, inference)
    response.headers["Server-Timing"] = server_timing(stages.items())
    return response


def _work(request: Request, services: Services, pipeline: Pipeline, body: bytes) -> tuple[bytes, bytes]:
    """The checked photo, and the checked parameters as JSON."""
    submission = read_submission(body, request.headers.get("content-type", ""), request.url.query)
    parameters = parameters_json(pipeline, submission.fields)
    image = inline_photo(submission.image)
    check_photo(image, services.settings.max_pixels)
    return image, parameters


async def _infer(
    services: Services, pipeline: Pipeline, image: bytes, parameters: bytes, deadline: Deadline
) -> tuple[InferenceResult, Mapping[str, float]]:
    """The inference, and the milliseconds spent waiting for a turn and in Triton."""
    came = time.monotonic()
    async with services.admission.turn(deadline):
        began = time.monotonic()
        inference = await services.triton.infer(pipeline.model, image, parameters, deadline)
    return inference, {"wait": (began - came) * 1000, "infer": (time.monotonic() - began) * 1000}
