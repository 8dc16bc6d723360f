"""The body's media type decides how it is read."""

from collections.abc import Callable, Container, Mapping
from functools import partial
from urllib.parse import parse_qsl

from gateway.errors import Problem
from gateway.intake.disguises import disguise, disguised_photo
from gateway.intake.json_body import glance_at_json, json_submission
from gateway.intake.multipart import IMAGE_PARTS, glance_at_form, multipart_submission
from gateway.intake.submission import Submission, gather, merge

MULTIPART = "multipart/form-data"
JSON = "application/json"
_PAIRS = "application/x-www-form-urlencoded"
_MAX_QUERY_FIELDS = 64


def check_media_type(content_type: str) -> None:
    """Raises Problem `unsupported_media_type` for a body that cannot be read."""
    kind = _essence(content_type)
    if kind not in (MULTIPART, JSON, "application/octet-stream") and not kind.startswith("image/"):
        raise _unsupported(kind, f"{MULTIPART}, {JSON} or image/*")


def check_form(content_type: str) -> None:
    """Raises Problem `unsupported_media_type` for anything but a form with files."""
    kind = _essence(content_type)
    if kind != MULTIPART:
        raise _unsupported(kind, MULTIPART)


def glance_at(content_type: str, photos: Container[str] = IMAGE_PARTS) -> Callable[[bytes], None]:
    """What raises Problem where the beginning of a body of this type has too much beside the photo."""
    kind = _essence(content_type)
    if kind == JSON:
        return glance_at_json
    return partial(glance_at_form, content_type, photos) if kind == MULTIPART else _nothing


def _nothing(_start: bytes) -> None:
    """A photo is photo throughout."""


def read_submission(body: bytes, content_type: str, query: str) -> Submission:
    """The photo and the fields of the body and of the query together.

    `content_type` is one that passes check_media_type. Raises Problem.
    """
    kind = _essence(content_type)
    if kind == MULTIPART:
        submission = multipart_submission(body, content_type)
    elif kind == JSON:
        submission = _json(body)
    else:
        submission = Submission(body, {})
    return Submission(submission.image, merge(query_fields(query), submission.fields))


def _json(body: bytes) -> Submission:
    try:
        return json_submission(body)
    except Problem as problem:
        if problem.code != "invalid_json":
            raise
        instead = "" if body.lstrip()[:1] in (b"{", b"[") else disguised_photo(body) or disguise(body)
        raise Problem(problem.code, problem.detail + instead) from problem


def _unsupported(kind: str, accepted: str) -> Problem:
    shown = kind[:60] or "no Content-Type"
    curl = " (curl: -F in the place of -d)" if kind == _PAIRS else ""
    return Problem("unsupported_media_type", f"{shown} is not accepted; send {accepted}{curl}.")


def _essence(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def query_fields(query: str) -> Mapping[str, object]:
    """The fields of an address. Raises Problem `invalid_parameters` where there are too many."""
    try:
        return gather(parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_QUERY_FIELDS))
    except ValueError as error:
        raise Problem("invalid_parameters", f"the address: {error}") from error
