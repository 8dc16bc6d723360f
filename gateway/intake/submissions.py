"""What a request asks for: the photo and the fields, read from a form, a JSON object, or the photo alone.

Python's `json` on a large body would hold the interpreter's lock, and with it the event loop, for a tenth of a second,
whatever thread it runs in. So the longest text, which is the photo, is cut out first: it is more than half of such a
body, so its middle lies in it.
"""

import base64
import codecs
import json
import re
import secrets
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import parse_qsl

from gateway.errors import Problem
from gateway.intake.images import Image, content_hint, json_image, missing_image, photo_hint, s3_image, url_image
from gateway.intake.multipart import check_form_start, parse_multipart
from gateway.pipelines.validation import MAX_TEXT_BYTES, too_much_beside
from gateway.text import MAX_VALUES, read_json

LARGE = 256 * 1024
"""Bytes of a body from which the photo is cut out."""
_PIECE = 256 * 1024
_TOLD = "\\\t\n\r\x0b\x0c"
_LONGEST_ESCAPE = len(r"\uffff")


@dataclass(frozen=True)
class LargeJson:
    """A body in which `token` stands in place of the longest text; `literal` is that text as it was written."""

    rest: bytes
    token: str
    literal: memoryview

    def put_back(self, value: object) -> object:
        """The value with the text in place of the token, where it is the token, or an object that has it as a member.

        Raises ValueError for what is no text of JSON.
        """
        if value == self.token:
            return self._text()
        if isinstance(value, dict) and self.token in value.values():
            return {name: self._text() if one == self.token else one for name, one in value.items()}
        return value

    def _text(self) -> str:
        decoder, pieces, kept = codecs.getincrementaldecoder("utf-8")(), list[str](), ""
        for start in range(0, len(self.literal), _PIECE):
            kept += decoder.decode(self.literal[start : start + _PIECE], start + _PIECE >= len(self.literal))
            end = _before_cut_escape(kept) if start + _PIECE < len(self.literal) else len(kept)
            pieces.append(_read(kept[:end]))
            kept = kept[end:]
        return "".join(pieces)


def _read(piece: str) -> str:
    """What a piece of a text stands for. Raises ValueError.

    Without escapes and line ends, base64 stands for itself; other control characters are no base64 either.
    """
    return json.loads(f'"{piece}"') if any(map(piece.__contains__, _TOLD)) else piece


def large_json(body: bytes) -> LargeJson | None:
    """The body, cut; None where no text lies about its middle that is longer than half of it: read all of it then.

    Where it is cut between two texts, the rest is no JSON: the token stands alone in it.
    """
    middle = len(body) // 2
    start, end = body.rfind(b'"', 0, middle) + 1, body.find(b'"', middle)
    if len(body) < LARGE or start == 0 or end - start < middle or not _is_value(body, start, end):
        return None
    token = f"text {secrets.token_hex(16)}"
    return LargeJson(body[:start] + token.encode() + body[end:], token, memoryview(body)[start:end])


def _is_value(body: bytes, start: int, end: int) -> bool:
    """Whether what surrounds a text shows that it is one, a value, and not what lies between two others."""
    before, after = body[max(0, start - 9) : start - 1].rstrip(), body[end + 1 : end + 9].lstrip()
    return before[-1:] in (b":", b",", b"[") and after[:1] in (b",", b"}", b"]")


def _before_cut_escape(text: str) -> int:
    """Where an escape begins that the end of the text may cut; the end where there is none."""
    last = text.rfind("\\", len(text) - _LONGEST_ESCAPE + 1)
    run = len(text[: last + 1]) - len(text[: last + 1].rstrip("\\"))
    return last if run % 2 else len(text)


_PHOTO = "image"
_NAME = re.compile(rb'[\s},]*+"([^"\\]{0,60})"\s*+:\s*+')
"""Of a member, with what lies before it; possessive, as spaces without end would else be tried in each split."""
_WINDOW, _MANY = 65_536, 8192
_MEMBERS = 256
"""Looked at in a body whose members are all small: each takes the event loop some microseconds."""
_MOST_READ = 2 * MAX_TEXT_BYTES
"""Bytes of JSON beside the photo that are parsed at all."""


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
        text = _utf8(body) if len(body) >= LARGE else body
        large = large_json(text)
        if large is not None and (members := _without_photo(large, len(text))) is not None:
            return members
        if len(text) > _MOST_READ:
            raise too_much_beside(_first_large(text)[0], len(text))
        return _checked(_object(text), len(text))
    except ValueError as error:
        raise Problem("invalid_json", f"{error}") from error


def _without_photo(large: LargeJson, size: int) -> dict[str, object] | None:
    """The members where the long text is the photo; None where the body is to be read as a whole.

    Raises Problem, ValueError.
    """
    if len(large.rest) > _MOST_READ:
        raise too_much_beside(_first_large(large.rest)[0], len(large.rest))
    try:
        members = _object(large.rest)
    except ValueError:
        if size > _MOST_READ:
            raise
        return None
    image = members.get(_PHOTO)
    whole = large.put_back(image)
    if whole is not image:
        return {**_checked(members, len(large.rest)), _PHOTO: whole}
    if size > _MOST_READ:
        name = next((name for name, value in members.items() if large.token in json.dumps([name, value])), _PHOTO)
        raise too_much_beside(name, len(large.literal))
    return None


def _checked(members: dict[str, object], size: int) -> dict[str, object]:
    """Raises Problem `field_too_large` where the members but the photo, written in so many bytes, are too large."""
    image = members.get(_PHOTO)
    photo = image if isinstance(image, str) else max(_texts(image), key=len, default="")
    if size - len(photo) > MAX_TEXT_BYTES:
        sizes = {name: len(json.dumps(value)) for name, value in members.items() if name != _PHOTO}
        largest = max(sizes, key=sizes.__getitem__, default=_PHOTO)
        raise too_much_beside(largest, size - len(photo))
    return members


def _texts(value: object) -> list[str]:
    return [text for text in value.values() if isinstance(text, str)] if isinstance(value, Mapping) else []


def _utf8(body: bytes) -> bytes:
    """The body in UTF-8, in which a quotation mark is one byte. Raises ValueError."""
    encoding = json.detect_encoding(body)
    return body if encoding.startswith("utf-8") else body.decode(encoding).encode()


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


_KINDS = {
    list: "an array",
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


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
