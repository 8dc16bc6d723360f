"""A request's body: received and decompressed within limits of memory and time; and what it is if not a photo."""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Callable
from io import BytesIO
from typing import Protocol, TypeVar

from starlette.requests import Request

from gateway.errors import Problem
from gateway.fetching.codings import Decoder
from gateway.limits.admission import Admission
from gateway.limits.fairness import Visit, visit_of
from gateway.settings import Settings
from gateway.timing import Deadline, Pace
from vision.photo import PhotoError, inspect

T = TypeVar("T")

_ACCEPTED = "gzip, deflate"
_GRACE_S = (10.0, 15.0)
"""Seconds, chosen at random, so that thousands of requests that came together are not refused together."""
LEAST_RATE = 1024
"""Bytes a second that must come after that time; Kestrel's default is 240 after 5 s, Apache's 500 after 20 s."""
_FIRST_CHECK, _NEXT_CHECK = 2 * 1024 * 1024, 4
"""What has come of a body is checked at 2 MiB, and again whenever it is four times as large."""
FIRST_BYTES = 128 * 1024
"""Memory that a body takes before any of it is read: uvicorn pauses above 64 KiB, and uvloop reads 64 KiB at a time."""


class BodyServices(Protocol):
    """The part of the gateway's services that reading a body needs."""

    @property
    def admission(self) -> Admission:
        """The memory for bodies, and the threads that parse them."""

    @property
    def settings(self) -> Settings:
        """The limits of size and time."""


def check_length(request: Request, limit: int) -> None:
    """Refuse a body by its announced length or its encoding, before any of it is read.

    Raises Problem `body_too_large`, `body_empty`, `encoding_unsupported`.
    """
    decoder_for(encoding_of(request))
    announced = _announced(request)
    if announced is not None and announced > limit:
        raise too_large(limit)
    if announced == 0:
        raise _empty()


async def read_body(
    request: Request,
    services: BodyServices,
    parse: Callable[[bytes], T],
    check_start: Callable[[bytes], None],
    deadline: Deadline | None = None,
) -> T:
    """The whole body, parsed; a large one in a thread, after `check_start` has looked at its beginning.

    The memory of the body belongs to the request until that ends. Raises Problem: those of `parse` and `check_start`;
    `queue_full` at once where no place is free, or where there is no memory in time; `body_too_large` as soon as the
    limit is passed, `body_empty`, `invalid_encoding`, `request_timeout`; and ClientDisconnect.
    """
    visit, by = visit_of(request), deadline or Deadline(services.settings.request_timeout_s)
    services.admission.check(visit)
    async with visit.yielding():
        body = await _received(request, services, check_start, by)
        return await services.admission.off_loop(visit, len(body), lambda: parse(body), by)


async def _received(
    request: Request, services: BodyServices, check_start: Callable[[bytes], None], deadline: Deadline
) -> bytes:
    """All of the body, decompressed."""
    limit = services.settings.max_body_bytes
    plain = _announced(request) if decoder_for(encoding_of(request)) is None else None
    most = limit if plain is None else plain
    room = BodyMemory(visit_of(request), services.admission, deadline, most, plain or FIRST_BYTES)
    await room.grow(FIRST_BYTES)
    body, next_check = BytesIO(), _FIRST_CHECK
    pace = Pace(random.uniform(*_GRACE_S), LEAST_RATE)  # noqa: S311 not a secret
    async for piece in pieces(request, pace, deadline):
        pace.count(len(piece))
        if pace.bytes > limit:
            raise too_large(limit)
        await room.grow(pace.bytes)
        body.write(piece)
        if pace.bytes >= next_check:
            check_start(body.getvalue())
            next_check *= _NEXT_CHECK
    if not pace.bytes:
        raise _empty()
    return body.getvalue()  # which is no copy


async def pieces(request: Request, pace: Pace, deadline: Deadline, what: str = "body") -> AsyncIterator[bytes]:
    """The body as it comes, decompressed; `what` names it in messages.

    Raises Problem `request_timeout` where it does not come in time, or too slowly, `invalid_encoding`, and
    ClientDisconnect.
    """
    decoder = decoder_for(encoding_of(request))
    chunks, visit = aiter(request.stream()), visit_of(request)
    while chunk := await _next(chunks, visit, pace, deadline, what):
        if decoder is None:
            yield chunk
            continue
        for piece in decoder.pieces(chunk):
            yield piece
            await asyncio.sleep(0)  # one chunk may hold a thousand of them
    if decoder:
        decoder.finish()


async def _next(chunks: AsyncIterator[bytes], visit: Visit, pace: Pace, deadline: Deadline, what: str) -> bytes:
    """The next chunk; nothing at the end."""
    visit.pace = pace
    try:
        return await pace.wait(_chunk(chunks), deadline)
    except TimeoutError as error:
        late = f"Waited {deadline.limit_s:g} s for the whole {what}."
        least = f"at least {pace.least_rate:g} useful bytes a second must come of the {what}."
        slow = f"Waited {pace.grace_s:.0f} s; {least}"
        detail = late if deadline.remaining() <= 0 else slow
        raise Problem("request_timeout", detail) from error
    finally:
        visit.pace = None


async def _chunk(chunks: AsyncIterator[bytes]) -> bytes:
    return await anext(chunks, b"")


class BodyMemory:
    """A body's part of the memory for bodies: FIRST_BYTES, then `step`, then twice as much whenever that is full.

    If the length was announced, `step` is all of it: so no body keeps a part of its memory while it waits for the rest.
    """

    def __init__(self, visit: Visit, admission: Admission, deadline: Deadline, most: int, step: int) -> None:
        self._visit = visit
        self._bodies = admission.bodies
        self._deadline = deadline
        self._most = most
        self._step = step
        self._taken = 0

    async def grow(self, size: int) -> None:
        """Take memory for so many bytes in all. Raises Problem `queue_full` where there is none in time."""
        if size > self._taken:
            further = min(self._most, max(2 * self._taken, self._step)) if size > FIRST_BYTES else 0
            self._taken = max(size, further)
            await self._bodies.wait(self._visit, self._taken, self._deadline)

    async def resize(self, size: int) -> None:
        """Take or give back memory, so that it is for so many bytes in all. Raises Problem `queue_full`."""
        if size <= FIRST_BYTES < self._taken:
            self._taken = FIRST_BYTES
            self._bodies.put(self._visit, FIRST_BYTES)
        await self.grow(size)


def check_plain(content_encoding: str) -> None:
    """Raises Problem `encoding_unsupported` for a body that was compressed."""
    if _named(content_encoding):
        detail = "This body is read as it comes; send it without Content-Encoding, the photos as they are."
        raise Problem("encoding_unsupported", detail, headers={"Accept-Encoding": "identity"})


def decoder_for(content_encoding: str) -> Decoder | None:
    """None for a body that was not compressed. Raises Problem `encoding_unsupported`."""
    match _named(content_encoding):
        case []:
            return None
        case ["gzip" | "x-gzip"]:
            return Decoder("gzip")
        case ["deflate"]:
            return Decoder("deflate")
    detail = f"Content-Encoding: {content_encoding[:60]} is not accepted; send gzip or deflate, or the body as it is."
    raise Problem("encoding_unsupported", detail, headers={"Accept-Encoding": _ACCEPTED})


def too_large(limit: int) -> Problem:
    """The problem of a body, or of a file in one, that passes the limit in bytes."""
    return Problem("body_too_large", f"At most {limit} bytes are accepted.")


def _announced(request: Request) -> int | None:
    announced = request.headers.get("content-length", "")
    return int(announced) if announced.isdecimal() else None


def encoding_of(request: Request) -> str:
    """What the request says of its body's compression."""
    return ",".join(request.headers.getlist("content-encoding"))


def _empty() -> Problem:
    return Problem("body_empty", "Send a photo in the request's body.")


def _named(content_encoding: str) -> list[str]:
    return [name for part in content_encoding.split(",") if (name := part.strip().lower()) not in ("", "identity")]


HINT_BYTES = 512
"""Bytes of a body's beginning that are enough to tell what it is."""
_SIGNS = (
    (rb"--[\w'()+,./:=?-]{1,256}\r?\nContent-", "a multipart form; send it with its header `Content-Type: {form}`"),
    (rb"data:[\w/+.-]*[;,]", 'a data: URL; JSON takes it as "image", or send the file\'s bytes'),
    (rb"(https?|s3)://", 'a URL; send it as "url" or "s3"'),
    (rb"[{\[]\s*[\"\]{}\d\[-]", "JSON; send it with `Content-Type: application/json`"),
    (rb"<(!doctype|html|head|body)", "a web page, as a server sends that wants a login"),
    (rb"<\?xml|<Error>|<svg", "XML"),
    (
        rb"(/9j/|iVBORw0KGgo|UklGR|R0lGOD|Qk[0-9])[\w+/\s-]*={0,2}\s*$",
        'base64; JSON takes it as "image", or send the file\'s bytes',
    ),
    (rb"b(['\"]).*", "how Python shows bytes; send the bytes themselves"),
    (
        rb"[\w.%+-]+=[^\r\n]*&|[\w.%+-]+=[\w.%+-]*$",
        "a form of `name=value` pairs; send {form} (curl: -F in the place of -d)",
    ),
    (
        rb"@?[\w ./~-]+\.(jpe?g|png|webp|heic|avif|tiff?|gif|bmp)\s*$",
        "a file's name; send its bytes (curl: -F image=@FILE)",
    ),
    (rb"version https://git-lfs", "a pointer of Git LFS"),
)
_FORM = "multipart/form-data; boundary=…"
_PATTERNS = tuple((re.compile(rb"\s*" + sign, re.IGNORECASE | re.DOTALL), said) for sign, said in _SIGNS)
_PHOTO = "a photo ({}); send it with its own Content-Type"
_BINARY = (
    (b"\xff\xd8\xff", _PHOTO.format("JPEG")),
    (b"\x89PNG", _PHOTO.format("PNG")),
    (b"RIFF", _PHOTO.format("WebP")),
    (b"GIF8", _PHOTO.format("GIF")),
    (b"\x1f\x8b", "gzip; say so by `Content-Encoding: gzip`"),
)


def check_photo(data: bytes, max_pixels: int) -> str:
    """The media type of a photo that the pipelines take. Raises Problem with a PhotoError's code."""
    try:
        return f"image/{inspect(data, max_pixels=max_pixels).format}"
    except PhotoError as error:
        raise Problem(error.code, error.detail + content_hint(data)) from error


def content_hint(data: bytes) -> str:
    """For an error's text: `; it is …` and what would be right, if data that should be a photo are something else."""
    start = data[:HINT_BYTES]
    said = next((said for sign, said in _PATTERNS if sign.match(start)), "")
    return f"; it is {said.format(form=_FORM)}" if said else ""


def photo_hint(data: bytes) -> str:
    """The same, if data that should be text are a photo, or compressed."""
    said = next((said for magic, said in _BINARY if data.startswith(magic)), "")
    return f"; it is {said}" if said else ""
