"""What a request asks for: the photo and the fields, read from a form, a JSON object, or the photo alone."""

import base64
import json
import re
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias
from urllib.parse import parse_qsl

from gateway.errors import Problem
from gateway.intake.bodies import content_hint, photo_hint
from gateway.intake.multipart import check_form_start, parse_multipart
from gateway.jobs.job import ImageKind, ImageReference
from gateway.pipelines.validation import MAX_TEXT_BYTES, too_much_beside
from gateway.untrusted_text import MAX_VALUES, read_base64, read_json

MULTIPART = "multipart/form-data"
JSON = "application/json"
_PAIRS = "application/x-www-form-urlencoded"

IMAGE_FIELDS = ("image", "file", "user_image")
IMAGE_PARTS = frozenset({*IMAGE_FIELDS, "url", "s3"})
FILE_FIELDS = frozenset({"segmentation_map"})
"""Fields that may be a file of any bytes; these are then handed on as base64."""
_MAX_QUERY_FIELDS = 64

Image: TypeAlias = bytes | ImageReference
MAX_URL_CHARACTERS = 2048

_WHERE = '"image", as {"type": "base64", "data": "…"}, as {"base64": "…"} or as base64 text'
_PHOTO = "image"
_NAME = re.compile(rb'[\s},]*+"([^"\\]{0,60})"\s*+:\s*+')
"""The name of a member, and what stands before it. Possessive: else many spaces would be split in every way."""
_WINDOW, _MANY = 65_536, 8192
_MEMBERS = 256
"""Members that are looked at, at most: each takes some microseconds on the event loop."""
_KINDS = {
    list: "an array",
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def missing_image(where: str) -> Problem:
    """The problem of a request without a photo."""
    return Problem("missing_image", f"Send the photo in {where}.")


def json_image(value: object) -> Image:
    """The photo that the JSON member `image` holds or names; a location is not checked yet.

    Raises Problem `missing_image`, `invalid_base64`, `invalid_parameters`.
    """
    match value:
        case str(text) | {"base64": str(text)} | {"type": "base64", "data": str(text)}:
            return _decode(text)
        case {"url": str(location)} | {"type": "url", "data": str(location)}:
            return url_image(location)
        case {"s3": str(location)} | {"type": "s3", "data": str(location)}:
            return s3_image(location)
        case {"type": str(kind)} if kind not in ("base64", "url", "s3"):
            raise Problem("invalid_parameters", f"image: type {kind[:20]!r} is not accepted; accepted: base64, url, s3")
    raise missing_image(_WHERE)


def inline_photo(image: Image) -> bytes:
    """The photo itself. Raises Problem `invalid_parameters` where only its location was given."""
    if isinstance(image, ImageReference):
        raise Problem("invalid_parameters", f"image: type {image.kind!r} is not accepted here; accepted: base64")
    return image


def url_image(location: str) -> Image:
    """The photo in a `data:` URL, or the place that another URL names."""
    return _decode(location) if location.lstrip()[:5].lower() == "data:" else _reference("url", location)


def s3_image(location: str) -> ImageReference:
    """A place in S3, which is not checked yet. Raises Problem `invalid_parameters`."""
    return _reference("s3", location)


def _reference(kind: ImageKind, location: str) -> ImageReference:
    if len(location) > MAX_URL_CHARACTERS:
        wrong = f"image: a location of {len(location)} characters; at most {MAX_URL_CHARACTERS} are accepted"
        raise Problem("invalid_parameters", wrong)
    return ImageReference(kind, location)


def _decode(text: str) -> bytes:
    try:
        return read_base64(text)
    except ValueError as error:
        raise Problem("invalid_base64", f"{error}") from error


def check_json_start(start: bytes) -> None:
    """Raise Problem `field_too_large` where a body's beginning has too much beside the photo already."""
    name, at = _first_large(start)
    endless = name != _PHOTO and start[at : at + 1] == b'"' and start.find(b'"', at + 1) < 0
    if _values(start) > MAX_VALUES or (endless and len(start) - at > MAX_TEXT_BYTES):
        raise too_much_beside(name, len(start) - at)


def json_members(body: bytes) -> dict[str, object]:
    """The members of a JSON object; all but `image` may have MAX_TEXT_BYTES.

    Raises Problem `invalid_json`, `field_too_large`.
    """
    try:
        members = _object(body)
    except ValueError as error:
        if len(body) > 2 * MAX_TEXT_BYTES:
            check_json_start(body)
        raise Problem("invalid_json", f"{error}") from error
    if len(body) > MAX_TEXT_BYTES:
        _check_beside(members)
    return members


def _check_beside(members: Mapping[str, object]) -> None:
    """Raise Problem `field_too_large` where the members without the photo are too large."""
    others = {**members, _PHOTO: _without_photo(members.get(_PHOTO))}
    sizes = {name: len(json.dumps(value, ensure_ascii=False).encode()) for name, value in others.items()}
    if sum(sizes.values()) > MAX_TEXT_BYTES:
        raise too_much_beside(max(sizes, key=sizes.__getitem__), sum(sizes.values()))


def _without_photo(image: object) -> object:
    """The member `image` without its longest text."""
    if not isinstance(image, Mapping):
        return None if isinstance(image, str) else image
    photo = max((text for text in image.values() if isinstance(text, str)), key=len, default=None)
    return {name: value for name, value in image.items() if value is not photo}


def _first_large(text: bytes) -> tuple[str, int]:
    """The first member, but the photo, of more than _WINDOW bytes: its name, and where its value begins.

    At worst the last one.
    """
    at, name, decoder = text.find(b"{") + 1, "the body", json.JSONDecoder()
    for _ in range(_MEMBERS):
        if not (match := _NAME.match(text, at, at + _WINDOW)):
            break
        name, at = match[1].decode("utf-8", "replace"), match.end()
        seen = text[at : at + _WINDOW]
        if name != _PHOTO and seen[:1] in {b"[", b"{"} and _values(seen) > _MANY:
            break
        try:
            at += decoder.raw_decode(seen.decode("latin-1"))[1]
        except (ValueError, RecursionError):
            end = text.find(b'"', at + _WINDOW)  # of the photo
            if name != _PHOTO or end < 0:
                break
            at = end + 1
    return name, at


def _values(text: bytes) -> int:
    """Commas and opening brackets, of which base64 has none."""
    return sum(map(text.count, (b",", b"[", b"{")))


def _object(text: bytes) -> dict[str, object]:
    """Raises ValueError for what is no JSON object."""
    value = read_json(text)
    if isinstance(value, str) and value.lstrip().startswith("{"):
        raise ValueError("A text that holds JSON came: it was encoded twice; send the object itself.")
    if not isinstance(value, dict):
        raise ValueError(f"A JSON object is needed, {{…}}; this is {_KINDS[type(value)]}.")  # noqa: TRY004 of a text
    return value


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
    parts = [(part.name, part.data) for part in parse_multipart((body,), content_type, IMAGE_PARTS)]
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
    """The photo in a field, or where it is; None for another field, and for an empty location."""
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
