"""multipart/form-data: its parts, as they come; and the names in them, in every way that clients write them.

In Content-Disposition browsers follow the WHATWG (raw UTF-8 in quotes; `"` and line ends as %22, %0D, %0A), urllib3 1
and mail libraries RFC 8187 (`filename*=UTF-8''na%C3%AFve.jpg`), some of them RFC 2231 (`filename*0=`, `filename*1=`),
which RFC 7578 §4.2 forbids; .NET sends encoded words (RFC 2047): `=?utf-8?B?bmHDr3ZlLmpwZw==?=`.
"""

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from email.errors import HeaderParseError
from email.header import decode_header
from urllib.parse import unquote_to_bytes

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from gateway.errors import Problem
from gateway.intake.bodies import HINT_BYTES, content_hint, photo_hint
from gateway.pipelines.validation import MAX_TEXT_BYTES, too_much_beside

_PARAMETER = re.compile(
    rb"""
    ;[ \t]*(?P<key>[^=;" \t]+)[ \t]*=[ \t]*
    (?:"(?P<quoted>(?:[^"\\]|\\.)*)"(?=[ \t]*(?:;|$)) | "(?P<raw>[^"]*)" | (?P<token>[^;"]*))
    """,
    re.VERBOSE | re.DOTALL,
)
"""A quoted value with backslash escapes; a quoted value that ends in a backslash, which browsers do not escape; or a
value without quotes."""
_ESCAPED = re.compile(rb'\\(["\\])')
_OF_BROWSERS = re.compile(rb"%(22|0[AaDd])")
_CHARSETS = frozenset({"utf-8", "iso-8859-1", "us-ascii"})
_MOST_PIECES = 64

MAX_PARTS = 64
_QUOTED = 70
_MOST_BOUNDARIES = 10_000
"""How often a body may hold its boundary, also within parts: each costs the parser as much time as a real one."""


@dataclass
class Part:
    """One field of `size` bytes; `content` is empty where that was too large."""

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

    It keeps no more than the part that is coming, and at most `max_bytes` of that. All parts but the `photos`, by their
    names, may have MAX_TEXT_BYTES together. `content_bytes` counts the content of all parts so far, without headers and
    boundaries; `kept_bytes` what is kept of the part that is coming.
    """

    def __init__(
        self, content_type: str, photos: Container[str], max_parts: int = MAX_PARTS, max_bytes: int | None = None
    ) -> None:
        """Raises Problem `invalid_multipart`."""
        self.content_bytes = self.kept_bytes = 0
        self._photos, self._max_parts, self._max_bytes = photos, max_parts, max_bytes
        self._start = b""
        self._boundaries = self._begun = self._text_bytes = 0
        self._is_text, self._is_complete = True, False
        self._part, self._done = Part(), list[Part]()
        self._header_name = self._header_value = b""
        self._boundary = boundary_of(content_type)
        try:
            self._parser = MultipartParser(
                self._boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_part_data": self._on_part_data,
                    "on_part_end": self._on_part_end,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_end": self._on_end,
                },
            )
        except FormParserError as error:
            raise Problem("invalid_multipart", str(error)) from error

    def feed(self, chunk: bytes) -> list[Part]:
        """The parts that this piece completes. Raises Problem `invalid_multipart`, `field_too_large`."""
        self._start = self._start or chunk[:HINT_BYTES]
        self._boundaries += chunk.count(b"\r\n--" + self._boundary)
        if self._boundaries > _MOST_BOUNDARIES:
            raise Problem("invalid_multipart", "Its boundary stands within its parts; send another one.")
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise broken_form(self._start, self._boundary, str(error)) from error
        done, self._done = self._done, []
        return done

    def finish(self) -> None:
        """Raise Problem `invalid_multipart` where the body is not complete."""
        if not self._is_complete:
            raise Problem("invalid_multipart", "The closing boundary is missing.")

    def _on_part_begin(self) -> None:
        if self._begun == self._max_parts:
            raise Problem("invalid_multipart", f"At most {self._max_parts} parts are accepted.")
        self._begun += 1
        self._part = Part()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        self._part.headers.append((self._header_name, self._header_value))
        self._header_name = self._header_value = b""

    def _on_headers_finished(self) -> None:
        self._is_text = self._part.name not in self._photos

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
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

    def _on_part_end(self) -> None:
        self._done.append(self._part)
        self.kept_bytes = 0

    def _on_end(self) -> None:
        self._is_complete = True


def parse_multipart(chunks: Iterable[bytes], content_type: str, photos: Container[str]) -> list[Part]:
    """The parts, in order, however the body is cut into chunks.

    `photos` are the names of those that may be large. Raises Problem `invalid_multipart`, `field_too_large`.
    """
    parser = PartParser(content_type, photos)
    parts = [part for chunk in chunks for part in parser.feed(chunk)]
    parser.finish()
    return parts


def check_form_start(content_type: str, photos: Container[str], start: bytes) -> None:
    """Raise Problem `field_too_large`, `invalid_multipart` where a form's beginning is wrong already."""
    PartParser(content_type, photos).feed(start)


def boundary_of(content_type: str) -> bytes:
    """The boundary between a form's parts. Raises Problem `invalid_multipart` where the header does not name it."""
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not boundary:
        raise Problem(
            "invalid_multipart",
            "The header Content-Type names no boundary, as in `multipart/form-data; boundary=…`; do not set this "
            "header: the client that writes the form does it.",
        )
    return boundary


def broken_form(start: bytes, boundary: bytes, error: str) -> Problem:
    """The problem of a form that cannot be read, from its first bytes and what its parser says."""
    opening = b"--" + boundary
    found = re.match(rb"\s*(--[^\r\n]{1,256})\r?\n", start)
    if start.lstrip().startswith(opening + b"\n"):
        detail = "Its lines end in LF; CR and LF (\\r\\n) are needed."
    elif start.lstrip().startswith(opening):
        detail = f"{error[:200]}."
    elif found:
        detail = f"It begins with {_quoted(found[1])}, and the header Content-Type says --{_quoted(boundary)}."
    else:
        said = photo_hint(start) or content_hint(start)
        detail = f"It does not begin with --{_quoted(boundary)}, as the header Content-Type says{said}."
    return Problem("invalid_multipart", detail)


def _quoted(text: bytes) -> str:
    return ascii(text[:_QUOTED].decode("latin-1"))[1:-1]


def parameter(header: bytes, name: str) -> str | None:
    """A parameter of Content-Disposition, by RFC 8187 or 2231 where readable, else as it stands; None if missing."""
    given = dict(_parameters(header))
    for value in (_extended(given, name), _in_pieces(given, name)):
        if value is not None:
            return value
    plain = given.get(name)
    if plain is None:
        return None
    words = _in_words(plain)
    if words is not None:
        return words
    return _OF_BROWSERS.sub(lambda found: bytes.fromhex(found[1].decode()), plain).decode("utf-8", "replace")


def _parameters(header: bytes) -> Iterator[tuple[str, bytes]]:
    """Names in lower case, and values without quotes."""
    for found in _PARAMETER.finditer(header):
        name, quoted, bare = found["key"].decode("latin-1").lower(), found["quoted"], found["raw"] or found["token"]
        yield name, (bare or b"").strip() if quoted is None else _ESCAPED.sub(rb"\1", quoted)


def _extended(given: Mapping[str, bytes], name: str) -> str | None:
    value = given.get(f"{name}*")
    if value is None:
        return None
    charset, encoded = _with_charset(value)
    return _text(charset, unquote_to_bytes(encoded))


def _in_pieces(given: Mapping[str, bytes], name: str) -> str | None:
    """RFC 2231 §3 and §4.1: pieces numbered from 0, each percent-encoded if its number ends in `*`."""
    charset, content = "utf-8", b""
    for number in range(_MOST_PIECES):
        plain, encoded = given.get(f"{name}*{number}"), given.get(f"{name}*{number}*")
        if encoded is not None:
            if number == 0:
                charset, encoded = _with_charset(encoded)
            content += unquote_to_bytes(encoded)
        elif plain is not None:
            content += plain
        elif number == 0:
            return None
        else:
            break
    return _text(charset, content)


def _in_words(value: bytes) -> str | None:
    """The text of encoded words, where the value is nothing else; a character may be split between two of them."""
    try:
        words = decode_header(value.decode("latin-1"))
    except HeaderParseError:
        return None
    content, charset = words[0]
    return _text(charset, content) if len(words) == 1 and charset and content else None


def _with_charset(value: bytes) -> tuple[str, bytes]:
    """Charset and rest of `charset'language'value`; no charset where the value has another form."""
    charset, _, rest = value.partition(b"'")
    _, found, encoded = rest.partition(b"'")
    return charset.decode("latin-1").lower() if found else "", encoded


def _text(charset: str, content: bytes) -> str | None:
    """None for other charsets than RFC 8187's, and for bytes that are not in the charset."""
    if charset not in _CHARSETS:
        return None
    try:
        return content.decode(charset)
    except UnicodeDecodeError:
        return None
