"""`POST /v1/run/{pipeline}`: a photo in, its artifacts out, in the form that Accept asks for."""

import base64
import json
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType
from typing import Literal
from urllib.parse import quote

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from gateway.access.callers import caller_of
from gateway.cache.results import Work
from gateway.errors import Problem
from gateway.http.middleware import request_id_of, services_of, while_connected
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
from gateway.http.services import Services
from gateway.inference import Turn, inference_of, made_by_header
from gateway.intake.bodies import check_length, check_photo, read_body
from gateway.intake.submissions import JSON, check_media_type, inline_photo, read_submission, start_check
from gateway.limits.fairness import Visit, visit_of
from gateway.pipelines.outputs import (
    Answer,
    Artifact,
    BlurDone,
    FaceFound,
    InferenceResult,
    Looked,
    MadeBy,
    ObjectFound,
    PersonFound,
    PhotoSize,
    media_type,
)
from gateway.pipelines.registry import Pipeline, parameters_json, unknown_pipeline
from gateway.timing import Deadline, Stopwatch


class ArtifactSummary(Answer):
    """A file that was made."""

    content_type: str = Field(examples=["image/png"])
    bytes: int = Field(ge=0, description="The file's size.", examples=[4127])


class EmbeddedArtifact(ArtifactSummary):
    """A file that was made, with its content."""

    base64: str = Field(json_schema_extra={"contentEncoding": "base64"})


class _Run(Answer):
    request_id: str = Field(
        description="That of the header X-Request-Id.", examples=["5f0c1d9be1f94d0f8a4f3f6f5d2b7c11"]
    )
    pipeline: str
    status: Literal["completed"] = Field(examples=["completed"])
    photo: PhotoSize
    made_by: MadeBy | None = Field(None, description="What made it; null in results kept by older versions.")
    persons: list[PersonFound] = Field(default=[], description="Of body_masks.")
    faces: list[FaceFound] = Field(default=[], description="Of face_contours.")
    looked: Looked | None = Field(None, description="Of privacy_blur and detect.")
    detections: list[ObjectFound] = Field(default=[], description="Of privacy_blur and detect.")
    blur: BlurDone | None = Field(None, description="Of privacy_blur.")


class RunSummary(_Run):
    """What a run found and made; the artifacts' contents are the parts that follow."""

    artifacts: dict[str, ArtifactSummary] = Field(description="By name, in the order of the parts.")


class RunAnswer(_Run):
    """What a run found and made."""

    artifacts: dict[str, EmbeddedArtifact] = Field(description="By name, such as upper_body_mask.png.")


MIXED = "multipart/mixed"
_SERVER_TIMING = {"Server-Timing": {"description": "Milliseconds of wait and infer.", "schema": TEXT}}
_MADE_BY = {"X-Made-By": {"description": "`made_by` of the JSON, in short.", "schema": TEXT}}
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
    made = _example_file(pipeline.example_artifact or next(iter(pipeline.artifacts)))
    example = RunAnswer.example(pipeline=pipeline.name, **pipeline.example, artifacts=made)
    content = {
        **{kind: {"schema": file_schema(kind)} for kind in single_types(pipeline)},
        JSON: {"example": example},
        MIXED: {"schema": _PARTS},
    }
    headers = {**REQUEST_ID, **_SERVER_TIMING, **_MADE_BY}
    return {200: {"description": description, "model": RunAnswer, "content": content, "headers": headers}}


_BEGINNINGS: Mapping[str, tuple[int, bytes]] = MappingProxyType(
    {
        "image/png": (4127, b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHD"),
        "image/svg+xml": (44389, b'<svg xmlns="http://www.w3.org/2000/svg"'),
        "image/jpeg": (61442, b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00"),
        JSON: (152, b'{"photo":{"width":512}'),
    }
)
"""The size of an example file, and how it begins, by type."""


def _example_file(name: str) -> dict[str, object]:
    """An artifact by its name, the content cut short."""
    kind = media_type(name)
    size, beginning = _BEGINNINGS.get(kind, (4127, b""))
    content = base64.b64encode(beginning[:15]).decode("ascii")
    return {name: EmbeddedArtifact.example(content_type=kind, bytes=size, base64=content)}


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
            serving = _serve(services, work, visit, request_id_of(request), deadline)
            inference, headers = await while_connected(request, serving)
    size = sum(len(artifact.data) for artifact in inference.artifacts)
    told = partial(answer, accept, request_id_of(request), pipeline, inference)
    response = await services.admission.off_loop(visit, size, told, deadline)
    response.headers.update(headers)
    return response


def _work(request: Request, services: Services, pipeline: Pipeline, body: bytes) -> Work:
    """The checked photo, and the checked parameters as JSON."""
    submission = read_submission(body, request.headers.get("content-type", ""), request.url.query)
    parameters = parameters_json(pipeline, submission.fields)
    image = inline_photo(submission.image)
    check_photo(image, services.settings.max_pixels)
    return Work(pipeline, image, parameters, caller_of(request).tenant)


async def _serve(
    services: Services, work: Work, visit: Visit, request_id: str, deadline: Deadline
) -> tuple[InferenceResult, Mapping[str, str]]:
    """What the model finds, or found before; and headers that say which, and what took how long."""
    watch, came = Stopwatch(), datetime.now(UTC)
    turn = Turn("wait", partial(services.admission.turn, visit))
    async with services.inferences.result(work, turn, deadline, watch) as (found, value):
        entry = found.entry(value, request_id, came)
        await services.results.keep(entry)
    services.results.count(found.hit or entry)
    timing = server_timing(watch.timings_ms.items())
    headers = {"Server-Timing": timing, **made_by_header(value.result), **found.headers}
    return inference_of(value, found.headers), headers


_MOST = 64
"""Media ranges that are read. The 64 KiB of a head may hold 20,000, which would block the event loop for 40 ms."""


def choose(accept: str | None, offers: Sequence[str]) -> str | None:
    """The offer that the header likes best, the earlier of equals; None where it refuses all.

    No header takes the first offer. Parts that are no media range are passed over, and those after the first _MOST.
    """
    if accept is None or not accept.strip():
        return offers[0]
    qualities: dict[str, float] = {}
    for kind, quality in filter(None, map(_range, accept.split(",", _MOST)[:_MOST])):
        qualities.setdefault(kind, quality)
    best = max(offers, key=lambda offer: _quality(offer, qualities))
    return best if _quality(best, qualities) > 0 else None


def _quality(offer: str, qualities: Mapping[str, float]) -> float:
    """That of the media range which names the offer most exactly."""
    ranges = (offer, f"{offer.partition('/')[0]}/*", "*/*")
    return next((qualities[one] for one in ranges if one in qualities), 0.0)


def _range(part: str) -> tuple[str, float] | None:
    """A media range and its quality."""
    kind, *options = (item.strip().lower() for item in part.split(";"))
    if not all(kind.partition("/")):
        return None
    quality = next((option[2:] for option in options if option.startswith("q=")), "1")
    try:
        return kind, min(1.0, max(0.0, float(quality)))
    except ValueError:
        return None


def single_types(pipeline: Pipeline) -> list[str]:
    """Types of artifacts that an answer may consist of; JSON means the whole answer."""
    kinds = {media_type(name) for name in pipeline.artifacts if not name.endswith("…")}
    return sorted(kinds - {JSON})


def check_accept(accept: str | None, pipeline: Pipeline) -> None:
    """Refuse, before any work, a header that no answer of the pipeline can satisfy.

    Raises Problem `not_acceptable`.
    """
    _negotiate(accept, [JSON, MIXED, *single_types(pipeline)])


def answer(accept: str | None, request_id: str, pipeline: Pipeline, inference: InferenceResult) -> Response:
    """One artifact: its bytes, unless the client prefers JSON or multipart/mixed; several: JSON or multipart/mixed.

    Of several, the only one of its type is given alone where the client prefers that type. Raises Problem
    `not_acceptable`.
    """
    alone = _alone(inference.artifacts)
    several = [JSON, MIXED]
    offers = [*alone, *several] if len(inference.artifacts) == 1 else [*several, *alone]
    chosen = _negotiate(accept, offers)
    if chosen in alone:
        return Response(alone[chosen].data, media_type=chosen, headers=disposition("inline", alone[chosen].name))
    if chosen == JSON:
        return Response(_json(request_id, pipeline, inference), media_type=JSON)
    return _mixed(request_id, pipeline, inference)


def _alone(artifacts: Sequence[Artifact]) -> Mapping[str, Artifact]:
    """Artifacts that an answer may consist of, by type; JSON means the whole answer."""
    counts = Counter(artifact.media_type for artifact in artifacts)
    return {item.media_type: item for item in artifacts if counts[item.media_type] == 1 and item.media_type != JSON}


def server_timing(stages_ms: Iterable[tuple[str, float]]) -> str:
    """The value of a Server-Timing header, durations in milliseconds."""
    return ", ".join(f"{stage};dur={duration:.1f}" for stage, duration in stages_ms)


def _negotiate(accept: str | None, offers: Sequence[str]) -> str:
    chosen = choose(accept, offers)
    if chosen is None:
        raise Problem("not_acceptable", f"Available: {', '.join(offers)}.")
    return chosen


def _json(request_id: str, pipeline: Pipeline, inference: InferenceResult) -> str:
    embedded = {artifact.name: _embedded(artifact) for artifact in inference.artifacts}
    return _document(request_id, pipeline, inference, embedded)


def _document(
    request_id: str, pipeline: Pipeline, inference: InferenceResult, artifacts: Mapping[str, Mapping[str, object]]
) -> str:
    known = {key: value for key, value in inference.result.items() if value is not None}
    return json.dumps({"request_id": request_id, "pipeline": pipeline.name, **known, "artifacts": artifacts})


def _summary(artifact: Artifact) -> dict[str, object]:
    return {"content_type": artifact.media_type, "bytes": len(artifact.data)}


def _embedded(artifact: Artifact) -> dict[str, object]:
    return {**_summary(artifact), "base64": base64.b64encode(artifact.data).decode("ascii")}


def _mixed(request_id: str, pipeline: Pipeline, inference: InferenceResult) -> Response:
    boundary = secrets.token_hex(16)
    summaries = {artifact.name: _summary(artifact) for artifact in inference.artifacts}
    document = _document(request_id, pipeline, inference, summaries)
    result = _part(boundary, JSON, disposition("inline", "result.json"), document.encode())
    parts = (
        _part(boundary, artifact.media_type, disposition("attachment", artifact.name), artifact.data)
        for artifact in inference.artifacts
    )
    body = b"".join((result, *parts, f"--{boundary}--\r\n".encode()))
    return Response(body, media_type=f'{MIXED}; boundary="{boundary}"')


def _part(boundary: str, kind: str, headers: Mapping[str, str], content: bytes) -> bytes:
    lines = [f"--{boundary}", f"Content-Type: {kind}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content + b"\r\n"


def disposition(kind: str, name: str) -> dict[str, str]:
    """The header Content-Disposition; `kind` is inline or attachment."""
    return {"Content-Disposition": f'{kind}; filename="{quote(name)}"'}
