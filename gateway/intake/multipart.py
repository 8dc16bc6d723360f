"""multipart/form-data, parsed in memory."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from gateway.intake.images import Image, missing_image
from gateway.intake.submission import FILE_FIELDS, IMAGE_FIELDS, Submission, gather
from gateway.jobs.job import ImageReference
from gateway.problems import Problem

if TYPE_CHECKING:  # the package defines this name for type checkers alone
    from python_multipart.multipart import MultipartCallbacks

MAX_PARTS = 64
_IMAGES = frozenset({*IMAGE_FIELDS, "url", "s3"})


@dataclass
class _Part:
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    content: list[bytes] = field(default_factory=list)

    @property
    def name(self) -> str:
        disposition = next((value for name, value in self.headers if name.lower() == b"content-disposition"), b"")
        _, options = parse_options_header(disposition)
        if b"name" not in options:
            raise Problem("invalid_multipart", "A part has no name.")
        return options[b"name"].decode("utf-8", "replace")


class _Collector:
    """Receives the parser's events; they come with the body and a range in it."""

    def __init__(self) -> None:
        self.parts: list[_Part] = []
        self.complete = False
        self._header_name = b""
        self._header_value = b""

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self.on_part_begin,
            "on_part_data": self.on_part_data,
            "on_header_begin": self.on_header_begin,
            "on_header_field": self.on_header_field,
            "on_header_value": self.on_header_value,
            "on_header_end": self.on_header_end,
            "on_end": self.on_end,
        }

    def on_part_begin(self) -> None:
        if len(self.parts) == MAX_PARTS:
            raise Problem("invalid_multipart", f"At most {MAX_PARTS} parts are accepted.")
        self.parts.append(_Part())

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].content.append(data[start:end])

    def on_header_begin(self) -> None:
        self._header_name = self._header_value = b""

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def on_header_end(self) -> None:
        self.parts[-1].headers.append((self._header_name, self._header_value))

    def on_end(self) -> None:
        self.complete = True


def parse_multipart(chunks: Iterable[bytes], content_type: str) -> list[tuple[str, bytes]]:
    """Names and contents of the parts, in order; where the body is cut into chunks makes no difference.

    Raises Problem `invalid_multipart`.
    """
    _, options = parse_options_header(content_type)
    collector = _Collector()
    try:
        parser = MultipartParser(options.get(b"boundary", b""), collector.callbacks())
        for chunk in chunks:
            parser.write(chunk)
    except FormParserError as error:
        raise Problem("invalid_multipart", str(error)) from error
    if not collector.complete:
        raise Problem("invalid_multipart", "The closing boundary is missing.")
    return [(part.name, b"".join(part.content)) for part in collector.parts]


def multipart_submission(body: bytes, content_type: str) -> Submission:
    """The photo of the one image field, or where the fields `url` or `s3` say it is, and the rest as text.

    Files of FILE_FIELDS that are no text come as base64.
    Raises Problem `invalid_multipart`, `missing_image`, `invalid_parameters`.
    """
    parts = parse_multipart((body,), content_type)
    images = [image for name, content in parts if (image := _image(name, content)) is not None]
    if not images:
        raise missing_image("the form field 'image'")
    if len(images) > 1:
        raise Problem("invalid_parameters", f"image: {len(images)} photos; send one in a request")
    texts = ((name, _text(name, value)) for name, value in parts if name not in _IMAGES)
    return Submission(images[0], gather(texts))


def _image(name: str, content: bytes) -> Image | None:
    """None for a field that is not about the photo, and for a location that was left empty."""
    if name in IMAGE_FIELDS:
        return content
    if name == "url" and content:
        return ImageReference("url", _text(name, content))
    if name == "s3" and content:
        return ImageReference("s3", _text(name, content))
    return None


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        if name in FILE_FIELDS:
            return base64.b64encode(value).decode("ascii")
        raise Problem("invalid_parameters", f"{name[:60]!r}: not UTF-8 text") from error
