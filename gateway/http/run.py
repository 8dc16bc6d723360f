"""`POST /v1/run/{pipeline}`: a photo in, its artifacts out."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from gateway.access.callers import caller_of
from gateway.cache.results import Work
from gateway.deadlines import Deadline
from gateway.http.answers import answer, check_accept, server_timing, single_types
from gateway.http.middleware import request_id_of, while_connected
from gateway.http.openapi import (
    BINARY,
    BODY_ERRORS,
    COMPONENT,
    JSON_ERRORS,
    PHOTO_ERRORS,
    REQUEST_ID,
    STORE_ERRORS,
    TEXT,
    Address,
    Responses,
    file_schema,
    parameters_schema,
    photo_bodies,
    query_parameters,
)
from gateway.http.schemas import RunAnswer, RunSummary, example_file
from gateway.inference import Turn, inference_of
from gateway.intake.bodies import check_length, read_body
from gateway.intake.images import check_photo, inline_photo
from gateway.intake.submissions import JSON, check_media_type, read_submission, start_check
from gateway.limits.sharing import Visit, visit_of
from gateway.pipelines.registry import Pipeline, parameters_json, unknown_pipeline
from gateway.results import InferenceResult, Stopwatch
from gateway.services import Services, services_of

_SERVER_TIMING = {"Server-Timing": {"description": "Milliseconds of wait and infer.", "schema": TEXT}}
_PARTS = {
    "type": "object",
    "properties": {"result.json": {"$ref": COMPONENT.format(model=RunSummary.__name__)}},
    "required": ["result.json"],
    "additionalProperties": {**BINARY, "description": "An artifact, under its own name and type."},
}
"""The parts of multipart/mixed by their file names."""
_ERRORS = (
    *(*BODY_ERRORS, *JSON_ERRORS, *PHOTO_ERRORS, *STORE_ERRORS, "not_found", "method_not_allowed", "not_acceptable"),
    *("model_missing", "inference_failed", "triton_unavailable", "deadline_exceeded"),
)


def addresses(registry: Mapping[str, Pipeline]) -> tuple[Address, ...]:
    """One for each pipeline."""
    return tuple(_address(pipeline) for pipeline in registry.values())


def _address(pipeline: Pipeline) -> Address:
    async def run(request: Request) -> Response:
        return await _run(request, services_of(request), pipeline)

    fields = parameters_schema(pipeline)["properties"]
    return Address(
        f"POST /v1/run/{pipeline.name}",
        run,
        _responses(pipeline),
        (*_ERRORS, *pipeline.refusals),
        query_parameters(fields),
        photo_bodies(fields),
        summary=pipeline.summary,
        name=f"run_{pipeline.name}",
    )


def _responses(pipeline: Pipeline) -> Responses:
    description = (
        "One artifact: its bytes. Several: JSON, or as Accept prefers multipart/mixed or the only artifact of a type."
    )
    made = example_file(pipeline.example_artifact or next(iter(pipeline.artifacts)))
    example = RunAnswer.example(pipeline=pipeline.name, **pipeline.example, artifacts=made)
    content = {
        **{kind: {"schema": file_schema(kind)} for kind in single_types(pipeline)},
        JSON: {"example": example},
        "multipart/mixed": {"schema": _PARTS},
    }
    headers = {**REQUEST_ID, **_SERVER_TIMING}
    return {200: {"description": description, "model": RunAnswer, "content": content, "headers": headers}}


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
