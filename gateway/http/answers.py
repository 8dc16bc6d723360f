"""The answer to a run, as its Accept header wants it: one artifact's bytes, JSON, or multipart/mixed."""

import base64
import json
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from starlette.responses import Response

from gateway.errors import Problem
from gateway.pipelines.outputs import Artifact, InferenceResult, media_type
from gateway.pipelines.registry import Pipeline

_MOST = 64
"""Media ranges that are read. The 64 KiB of a head may hold 20,000, which would block the event loop for 40 ms."""


@dataclass(frozen=True)
class _Range:
    main: str
    sub: str
    quality: float

    def fits(self, media_type: str) -> int:
        """How specifically this range names a media type: 0 not at all, 3 exactly."""
        main, sub = media_type.split("/")
        if (self.main, self.sub) == ("*", "*"):
            return 1
        if self.main != main:
            return 0
        return {"*": 2, sub: 3}.get(self.sub, 0)


def choose(accept: str | None, offers: Sequence[str]) -> str | None:
    """The offer that the header likes best, the earlier of equals; None where it refuses all.

    No header takes the first offer. Parts that are no media range are passed over, and those after the first _MOST.
    """
    if accept is None or not accept.strip():
        return offers[0]
    ranges = [parsed for part in accept.split(",", _MOST)[:_MOST] if (parsed := _parse(part))]
    best = max(offers, key=lambda offer: _quality(offer, ranges))
    return best if _quality(best, ranges) > 0 else None


def _quality(media_type: str, ranges: Sequence[_Range]) -> float:
    fitting = max(ranges, key=lambda item: item.fits(media_type), default=None)
    return fitting.quality if fitting and fitting.fits(media_type) else 0.0


def _parse(part: str) -> _Range | None:
    name, *options = (item.strip().lower() for item in part.split(";"))
    main, slash, sub = name.partition("/")
    if not (main and slash and sub):
        return None
    quality = next((option[2:] for option in options if option.startswith("q=")), "1")
    try:
        return _Range(main, sub, min(1.0, max(0.0, float(quality))))
    except ValueError:
        return None


JSON = "application/json"
MIXED = "multipart/mixed"


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
