"""Every error the gateway answers with: RFC 9457 problem details, one table of codes."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from urllib.parse import quote

from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
RETRIED = frozenset({429, 503, 504})
"""Statuses that say when to try again, in the header Retry-After."""
PROBLEM_CODE = "problem_code"
"""The key in a request's ASGI scope of the code that it was answered with, if any."""
_IN_PATHS = "/:@!$&'()*+,;="
"""What stands for itself in a path (RFC 3986 §3.3)."""
_MOST_TOLD = 2000
"""Characters of a detail, and of a path: an address may have 64 KiB, and a refusal repeats parts of what it refuses."""


@dataclass(frozen=True)
class ProblemType:
    """One code: its HTTP status, its title, and an example of its detail.

    `example_path` is the path that brings the example about, where only one path does.
    """

    status: int
    title: str
    example: str
    example_path: str | None = None


PROBLEMS: Mapping[str, ProblemType] = MappingProxyType(
    {
        "body_empty": ProblemType(400, "The request has no body", "Send a photo in the request's body."),
        "invalid_json": ProblemType(
            400, "The body is not valid JSON", "Expecting ',' delimiter: line 1 column 18 (char 17)"
        ),
        "invalid_encoding": ProblemType(
            400, "The body cannot be decompressed", "The gzip stream ends early; send all of it."
        ),
        "invalid_multipart": ProblemType(400, "The body is not valid multipart", "The closing boundary is missing."),
        "missing_image": ProblemType(400, "The request holds no photo", "Send the photo in the form field 'image'."),
        "invalid_base64": ProblemType(
            400, "The photo is not valid base64", "incorrect padding, or cut short: 5 digits"
        ),
        "image_empty": ProblemType(
            400,
            "The photo is empty",
            "the image has no bytes; JPEG, PNG, WebP, HEIC, AVIF, TIFF, GIF and BMP are accepted",
        ),
        "credentials_missing": ProblemType(
            401,
            "Nobody is named",
            "Send a token or an API key, as `Authorization: Bearer …` or `X-API-Key: …`; one of them.",
        ),
        "token_invalid": ProblemType(401, "The token is not accepted", "Audience doesn't match."),
        "token_expired": ProblemType(401, "The token has expired", "The token has expired."),
        "key_unknown": ProblemType(401, "The API key is not known", "There is no such API key."),
        "key_revoked": ProblemType(401, "The API key was revoked", "The API key 5f0c1d9be1f9 was revoked."),
        "key_expired": ProblemType(401, "The API key has expired", "The API key 5f0c1d9be1f9 has expired."),
        "ticket_invalid": ProblemType(401, "The ticket is not accepted", "There is no such ticket."),
        "ticket_expired": ProblemType(401, "The ticket has expired", "The ticket has expired; ask for a new one."),
        "host_invalid": ProblemType(400, "The request names no host, or several", "The header Host came 2 times."),
        "host_not_allowed": ProblemType(
            421,
            "This host is not served here",
            "Requests to 'masks.example.com' are not answered here; ALLOWED_HOSTS can name it.",
        ),
        "origin_not_allowed": ProblemType(
            403,
            "This web page may not use the gateway",
            "Pages of https://shop.example.com may not use this; ALLOWED_ORIGINS can name them.",
        ),
        "scope_missing": ProblemType(403, "The caller may not do this", "This needs the scope jobs:write."),
        "not_found": ProblemType(404, "No such address", "POST /v2 is not served here.", "/v2"),
        "pipeline_not_found": ProblemType(
            404,
            "No such pipeline",
            "No pipeline 'masks'; there are: body_masks, face_contours, privacy_blur, detect.",
            "/v1/run/masks",
        ),
        "job_not_found": ProblemType(
            404, "No such job", "No job 6f1c0e4e-0d0e-4a57-8f2b-0f6a3c1e9d11; it may have been deleted."
        ),
        "artifact_not_found": ProblemType(
            404, "The job has no such artifact", "The job has: upper_body_mask.png, lower_body_mask.png."
        ),
        "poison_not_found": ProblemType(404, "No such entry", "No open entry 17 in the poison book."),
        "method_not_allowed": ProblemType(
            405, "This address does not take this method", "GET /v1/run/body_masks is not served here. Use POST."
        ),
        "not_acceptable": ProblemType(
            406,
            "No answer fits the Accept header",
            "Available: application/json, multipart/mixed, image/jpeg, image/png.",
        ),
        "request_timeout": ProblemType(408, "The body did not arrive in time", "Waited 30 s for the body."),
        "body_too_large": ProblemType(413, "The request's body is too large", "At most 33554432 bytes are accepted."),
        "field_too_large": ProblemType(
            413,
            "A field of the request is too large",
            "segmentation_map: 20971520 bytes; at most 1048576 are accepted in all fields but the photo",
        ),
        "image_too_large": ProblemType(
            413,
            "The photo has too many pixels",
            "the image has 40000×40000 pixels; at most 100000000 in all are accepted",
        ),
        "unsupported_media_type": ProblemType(
            415,
            "The body's type is not supported",
            "text/plain is not accepted; send multipart/form-data, application/json or image/*.",
        ),
        "encoding_unsupported": ProblemType(
            415,
            "The body's compression is not supported",
            "Content-Encoding: br is not accepted; send gzip or deflate, or the body as it is.",
        ),
        "image_unsupported": ProblemType(
            415,
            "The photo's format is not supported",
            "the image is of type: PDF; JPEG, PNG, WebP, HEIC, AVIF, TIFF, GIF and BMP are accepted",
        ),
        "invalid_parameters": ProblemType(
            422, "A parameter is not acceptable", "style: 'plain' is not accepted; accepted: garment, labels"
        ),
        "idempotency_conflict": ProblemType(
            422,
            "This id was used for another request",
            "request_id 'req-1' of user '123' came before with other content; send a new id.",
        ),
        "url_not_allowed": ProblemType(
            422,
            "This URL may not be fetched",
            "http://10.0.0.7/a.jpg: 10.0.0.7 is not a public address; ALLOWED_NETWORKS can allow its network.",
        ),
        "url_failed": ProblemType(422, "The URL gives no photo", "https://example.com/a.jpg answered 404."),
        "object_missing": ProblemType(422, "The object is not there", "s3://masks/a.jpg does not exist."),
        "cancelled": ProblemType(409, "The job was cancelled", "Cancelled before it was done."),
        "job_unfinished": ProblemType(409, "The job is not finished", "The job is queued; try again.", None),
        "image_truncated": ProblemType(422, "The photo ends too early", "the jpeg ends early; send the whole file"),
        "image_corrupt": ProblemType(
            422,
            "The photo is damaged",
            "the jpeg is damaged (Corrupt JPEG data: premature end of data segment); send the file as it was made",
        ),
        "image_animated": ProblemType(422, "The photo is animated", "the webp is animated; send one still image"),
        "image_too_small": ProblemType(
            422, "The photo is too small", "the image has 1×1 pixels; at least 16×16 are needed"
        ),
        "no_person": ProblemType(
            422, "No person was found", "no person was found in the photo; one must show at least head and shoulders"
        ),
        "several_persons": ProblemType(
            422,
            "Several people were found",
            "3 people were found; send a photo of one, or ask for person=largest or all",
        ),
        "no_face": ProblemType(
            422,
            "No face was found",
            "no face was found in the photo; one must show both eyes, upright, and span a twentieth of the photo or "
            "more",
        ),
        "several_faces": ProblemType(
            422,
            "Several faces were found",
            "there are 3 faces; send a photo of one, or ask for face=largest or all",
        ),
        "landmarks_unreadable": ProblemType(
            422,
            "The landmarks cannot be read",
            "the landmarks cannot be read: line 1 is not numbers; send [{x, y}, …] as JSON, a mapping with "
            "`landmarks`, or one `x,y` a line",
        ),
        "landmarks_count": ProblemType(
            422, "There are too many or too few landmarks", "a face has 3 landmarks; accepted are 478, 468, 68"
        ),
        "landmarks_outside": ProblemType(
            422,
            "The landmarks lie outside the photo",
            "the landmarks lie outside the photo of 640×480; send its pixels",
        ),
        "landmarks_degenerate": ProblemType(
            422,
            "The landmarks lie too close together",
            "the landmarks span less than 8 pixels; send pixels of the photo, not shares of its size",
        ),
        "segmentation_unsupported": ProblemType(
            422,
            "The segmentation's format is not supported",
            "the segmentation is neither a PNG of labels nor {region name: [indices]}",
        ),
        "label_map_lossy": ProblemType(
            422,
            "The label map was compressed or scaled with loss",
            "the label map is a JPEG, whose compression alters labels; send it as PNG",
        ),
        "label_map_unreadable": ProblemType(
            422, "The label map cannot be read", "label map: the image ends within its header; send the whole file"
        ),
        "label_map_corrupt": ProblemType(
            422,
            "The label map holds no labels",
            "the label map has 255 different values, more than 32: it holds no labels, or was scaled smoothly or "
            "stored with loss; scale it nearest and send PNG",
        ),
        "label_map_empty": ProblemType(
            422,
            "The label map has no regions",
            "the label map is all background (0); every region needs its number",
        ),
        "regions_invalid": ProblemType(
            422, "The regions are not acceptable", "region 'nose' is not a list of 3 to 512 landmark indices"
        ),
        "region_unknown": ProblemType(
            422,
            "No such region",
            "there is no region 'ear'; there are: forehead, nose, left_under_eye, right_under_eye, mouth, left_eye, "
            "right_eye, left_eyebrow, right_eyebrow, upper_lip, lower_lip, face_oval, left_cheek, right_cheek",
        ),
        "class_unknown": ProblemType(
            422,
            "No detector finds such a class",
            "no model here finds 'ear'; groups: faces, plates, persons, vehicles; classes: face, license_plate",
        ),
        "options_invalid": ProblemType(422, "An option is not acceptable", "region_opacity is 2; it goes from 0 to 1"),
        "rate_limited": ProblemType(
            429, "The caller sends too much", "At most 600 requests and 100000000 bytes a minute are accepted."
        ),
        "queue_full": ProblemType(429, "Too many requests are waiting", "100 requests are waiting."),
        "internal_error": ProblemType(500, "Something went wrong in the gateway", "The log has the details."),
        "attempts_exhausted": ProblemType(
            500, "The job ended its workers again and again", "Begun 6 times without an end."
        ),
        "url_unreachable": ProblemType(
            502, "The photo's server could not be asked", "https://example.com/a.jpg: no answer within 10 s."
        ),
        "model_missing": ProblemType(
            501,
            "A model that this needs is not here",
            "Triton answered: Request for unknown model: 'detect_lite' is not found; `maskwright models verify` says "
            "what is missing.",
        ),
        "inference_failed": ProblemType(502, "The model failed", "Triton answered: Stub process is not healthy."),
        "triton_unavailable": ProblemType(503, "The inference server is not available", "Triton did not answer."),
        "store_unavailable": ProblemType(503, "The database is not available", "PostgreSQL did not answer."),
        "keys_unavailable": ProblemType(
            503, "Tokens cannot be checked now", "The keys of the tokens' issuer could not be fetched."
        ),
        "storage_unavailable": ProblemType(503, "The object store is not available", "S3 did not answer within 10 s."),
        "deadline_exceeded": ProblemType(504, "The request took too long", "Not done within 30 s."),
    }
)


class Problem(Exception):  # noqa: N818 the term of RFC 9457
    """A failure with a code of PROBLEMS; `retry_after` in seconds, sent rounded up; `headers` for the answer."""

    def __init__(
        self, code: str, detail: str, *, retry_after: float | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(max(1, math.ceil(retry_after)))

    @property
    def transient(self) -> bool:
        """Whether the same request may go well later: anything but the caller's own mistake."""
        return self.type.status >= HTTPStatus.INTERNAL_SERVER_ERROR or self.type.status == HTTPStatus.TOO_MANY_REQUESTS

    @property
    def type(self) -> ProblemType:
        """The code's entry in PROBLEMS."""
        return PROBLEMS[self.code]


def problem_fields(code: str, detail: str) -> dict[str, object]:
    """Members of the problem details object."""
    entry = PROBLEMS[code]
    return {
        "type": f"urn:problem-type:maskwright:{code}",
        "title": entry.title,
        "status": entry.status,
        "detail": detail,
        "code": code,
    }


def problem_response(problem: Problem, path: str) -> Response:
    """The HTTP answer for a problem, cut where it is long; `path` is the one that was asked for, decoded."""
    detail = problem.detail if len(problem.detail) <= _MOST_TOLD else f"{problem.detail[:_MOST_TOLD]}…"
    instance = quote(path[:_MOST_TOLD], _IN_PATHS)
    body = json.dumps({**problem_fields(problem.code, detail), "instance": instance})
    return Response(body, problem.type.status, problem.headers, MEDIA_TYPE)
