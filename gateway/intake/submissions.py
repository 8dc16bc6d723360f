"""What a request asks for: the photo and the fields, read from a form, a JSON object, or the photo alone."""

import base64
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import parse_qsl

from gateway.errors import Problem
from gateway.intake.images import Image, content_hint, json_image, missing_image, photo_hint, s3_image, url_image
from gateway.intake.json_bodies import check_json_start, json_members
from gateway.intake.multipart import check_form_start, parse_multipart

MULTIPART = "multipart/form-data"
JSON = "application/json"
_PAIRS = "application/x-www-form-urlencoded"

IMAGE_FIELDS = ("image", "file", "user_image")
IMAGE_PARTS = frozenset({*IMAGE_FIELDS, "url", "s3"})
FILE_FIELDS = frozenset({"segmentation_map"})
"""Fields that may be a file of any bytes; these are then handed on as base64."""
_MAX_QUERY_FIELDS = 64


@dataclass(frozen=True)
class Submission:
    """A photo or where it is, and the other fields by name: a text, or a list of texts where a name was repeated."""

    image: Image
    fields: Mapping[str, object]


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


def start_check(content_type: str, photos: Container[str] = IMAGE_PARTS) -> Callable[[bytes], None]:
    """A check of a body's beginning: it raises Problem where there is too much beside the photo already."""
    match _essence(content_type):
        case "application/json":
            return check_json_start
        case "multipart/form-data":
            return partial(check_form_start, content_type, photos)
    return lambda _start: None  # all of it is the photo


def read_submission(body: bytes, content_type: str, query: str) -> Submission:
    """The photo and the fields of the body and of the query together.

    `content_type` is one that passes check_media_type. Raises Problem.
    """
    match _essence(content_type):
        case "multipart/form-data":
            submission = multipart_submission(body, content_type)
        case "application/json":
            submission = _json_with_hint(body)
        case _:
            submission = Submission(body, {})
    fields = query_fields(query)
    if twice := sorted(fields.keys() & submission.fields.keys()):
        raise Problem("invalid_parameters", f"{twice[0]}: given in the address and in the body")
    return Submission(submission.image, {**fields, **submission.fields})


def json_submission(body: bytes) -> Submission:
    """The photo, or where it is, and the other members.

    Raises Problem `invalid_json`, `field_too_large`, `missing_image`, `invalid_base64`, `invalid_parameters`.
    """
    members = json_members(body)
    image = json_image(members.pop("image", None))
    return Submission(image, members)


def multipart_submission(body: bytes, content_type: str) -> Submission:
    """The photo of the one image field, or where the fields `url` or `s3` say it is, and the rest as text.

    Raises Problem `invalid_multipart`, `field_too_large`, `missing_image`, `invalid_parameters`.
    """
    parts = parse_multipart((body,), content_type, IMAGE_PARTS)
    images = [image for name, content in parts if (image := _image(name, content)) is not None]
    if not images:
        raise missing_image("the form field 'image'")
    if len(images) > 1:
        raise Problem("invalid_parameters", f"image: {len(images)} photos; send one in a request")
    return Submission(images[0], gather((name, _text(name, value)) for name, value in parts if name not in IMAGE_PARTS))


def query_fields(query: str) -> Mapping[str, object]:
    """The fields of an address. Raises Problem `invalid_parameters` where there are too many."""
    try:
        return gather(parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_QUERY_FIELDS))
    except ValueError as error:
        raise Problem("invalid_parameters", f"the address: {error}") from error


def gather(pairs: Iterable[tuple[str, str]]) -> dict[str, object]:
    """Fields by name; the values of a repeated name become a list, in order."""
    fields: dict[str, object] = {}
    for name, value in pairs:
        earlier = fields.get(name)
        if earlier is None:
            fields[name] = value
        else:
            fields[name] = [*earlier, value] if isinstance(earlier, list) else [earlier, value]
    return fields


def text_or_base64(content: bytes) -> str:
    """A file's text, or its bytes in base64 where they are no text."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return base64.b64encode(content).decode("ascii")


def _json_with_hint(body: bytes) -> Submission:
    try:
        return json_submission(body)
    except Problem as problem:
        if problem.code != "invalid_json":
            raise
        hint = "" if body.lstrip()[:1] in (b"{", b"[") else photo_hint(body) or content_hint(body)
        raise Problem(problem.code, problem.detail + hint) from problem


def _image(name: str, content: bytes) -> Image | None:
    """None for a field that is not about the photo, and for a location that was left empty."""
    if name in IMAGE_FIELDS:
        return content
    if name == "url" and content:
        return url_image(_text(name, content))
    if name == "s3" and content:
        return s3_image(_text(name, content))
    return None


def _text(name: str, value: bytes) -> str:
    if name in FILE_FIELDS:
        return text_or_base64(value)
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise Problem("invalid_parameters", f"{name[:60]!r}: not UTF-8 text") from error


def _unsupported(kind: str, accepted: str) -> Problem:
    shown = kind[:60] or "no Content-Type"
    curl = " (curl: -F in the place of -d)" if kind == _PAIRS else ""
    return Problem("unsupported_media_type", f"{shown} is not accepted; send {accepted}{curl}.")


def _essence(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
