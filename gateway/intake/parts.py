"""The parts of a form, as they come."""

from collections.abc import Container
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from gateway.intake.disguises import KEPT, boundary_of, broken_form
from gateway.intake.disposition import parameter
from gateway.problems import Problem
from gateway.validation import MAX_TEXT_BYTES, too_much_beside

if TYPE_CHECKING:  # the package defines this name for type checkers alone
    from python_multipart.multipart import MultipartCallbacks

MAX_PARTS = 64
_MOST_BOUNDARIES = 10_000
"""So often a body may hold what looks like one: each that is none costs the parser as much as one that is."""


@dataclass
class Part:
    """One field; `size` is what it had in bytes, of which `content` holds nothing where it was too large."""

    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    content: list[bytes] = field(default_factory=list)
    size: int = 0

    @property
    def name(self) -> str:
        """The field's name. Raises Problem `invalid_multipart` where it has none."""
        name = parameter(self._disposition, "name")
        if name is None:
            raise Problem(
                "invalid_multipart", 'A part has no name: its header is Content-Disposition: form-data; name="…".'
            )
        return name

    @property
    def file_name(self) -> str:
        """The name of the file that it holds, as it was sent; empty where it has none."""
        return parameter(self._disposition, "filename") or ""

    @property
    def data(self) -> bytes:
        """All of its content."""
        return b"".join(self.content)

    @property
    def _disposition(self) -> bytes:
        return next((value for name, value in self.headers if name.lower() == b"content-disposition"), b"")


class PartParser:
    """Takes a body in pieces, and gives its parts as soon as each is complete.

    No more is kept than the part that is coming, and of that at most `max_bytes`. All parts but the `photos`, by their
    names, may have MAX_TEXT_BYTES together.
    """

    def __init__(
        self, content_type: str, photos: Container[str], max_parts: int = MAX_PARTS, max_bytes: int | None = None
    ) -> None:
        """Raises Problem `invalid_multipart`."""
        self._boundary = boundary_of(content_type)
        self._start = b""
        self._boundaries = 0
        self._collector = _Collector(photos, max_parts, max_bytes)
        try:
            self._parser = MultipartParser(self._boundary, self._collector.callbacks())
        except FormParserError as error:
            raise Problem("invalid_multipart", str(error)) from error

    def feed(self, chunk: bytes) -> list[Part]:
        """The parts that this piece completes. Raises Problem `invalid_multipart`, `field_too_large`."""
        self._start = self._start or chunk[:KEPT]
        self._boundaries += chunk.count(b"\r\n--" + self._boundary)
        if self._boundaries > _MOST_BOUNDARIES:
            raise Problem("invalid_multipart", "Its boundary stands within its parts; send another one.")
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise broken_form(self._start, self._boundary, str(error)) from error
        return self._collector.take()

    @property
    def content_bytes(self) -> int:
        """Of all parts so far, without headers and boundaries."""
        return self._collector.content_bytes

    @property
    def kept_bytes(self) -> int:
        """Of the part that is coming, those that are kept."""
        return self._collector.kept_bytes

    def finish(self) -> None:
        """Raise Problem `invalid_multipart` where the body is not complete."""
        if not self._collector.complete:
            raise Problem("invalid_multipart", "The closing boundary is missing.")


class _Collector:
    """Receives the parser's events; they come with the body and a range in it."""

    def __init__(self, photos: Container[str], max_parts: int, max_bytes: int | None) -> None:
        self.complete = False
        self.content_bytes = 0
        self.kept_bytes = 0
        self._photos = photos
        self._text_bytes = 0
        self._is_text = True
        self._max_parts = max_parts
        self._max_bytes = max_bytes
        self._begun = 0
        self._part = Part()
        self._done: list[Part] = []
        self._header_name = b""
        self._header_value = b""

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self.on_part_begin,
            "on_part_data": self.on_part_data,
            "on_part_end": self.on_part_end,
            "on_header_begin": self.on_header_begin,
            "on_header_field": self.on_header_field,
            "on_header_value": self.on_header_value,
            "on_header_end": self.on_header_end,
            "on_headers_finished": self.on_headers_finished,
            "on_end": self.on_end,
        }

    def take(self) -> list[Part]:
        done, self._done = self._done, []
        return done

    def on_part_begin(self) -> None:
        if self._begun == self._max_parts:
            raise Problem("invalid_multipart", f"At most {self._max_parts} parts are accepted.")
        self._begun += 1
        self._part = Part()

    def on_headers_finished(self) -> None:
        self._is_text = self._part.name not in self._photos

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_text:
            self._text_bytes += end - start
            if self._text_bytes > MAX_TEXT_BYTES:
                raise too_much_beside(self._part.name, self._part.size + end - start)
        self._part.size += end - start
        self.content_bytes += end - start
        if self._max_bytes is not None and self._part.size > self._max_bytes:
            self._part.content.clear()
            self.kept_bytes = 0
        else:
            self._part.content.append(data[start:end])
            self.kept_bytes = self._part.size

    def on_part_end(self) -> None:
        self._done.append(self._part)
        self.kept_bytes = 0

    def on_header_begin(self) -> None:
        self._header_name = self._header_value = b""

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def on_header_end(self) -> None:
        self._part.headers.append((self._header_name, self._header_value))

    def on_end(self) -> None:
        self.complete = True
