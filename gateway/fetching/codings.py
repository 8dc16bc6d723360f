"""Content-Encoding of what is fetched (RFC 9110 §8.4.1), undone within a limit."""

import zlib
from collections.abc import Callable, Mapping

ACCEPTED = "identity, gzip;q=0.5, deflate;q=0.5"
"""For Accept-Encoding: photos are compressed already, so the bytes themselves first."""
_NOTHING = frozenset({"", "identity", "aws-chunked"})
"""The last is how an SDK sent an object; stores that keep the word serve the object itself."""
_SHOWN = 40
_GZIP = zlib.MAX_WBITS + 16
_BARE = -zlib.MAX_WBITS


class CodingError(ValueError):
    """Why a body cannot be had out of its coding, as the rest of a sentence about it."""


class TooLargeError(ValueError):
    """What comes out is larger than the limit."""


def coding_of(header: str) -> str:
    """`gzip` or `deflate`; empty for the bytes themselves. Raises CodingError for others, and for several."""
    codings = [one for one in (part.strip().lower() for part in header.split(",")) if one not in _NOTHING]
    if len(codings) > 1:
        raise CodingError(f"the body is encoded {len(codings)} times ({', '.join(codings)[:_SHOWN]}); once is accepted")
    coding = codings[0].removeprefix("x-") if codings else ""
    if coding not in {"", *_READERS}:
        raise CodingError(f"the body comes {coding[:_SHOWN]}-encoded; accepted are {', '.join(_READERS)} and none")
    return coding


def decoded(body: bytes, coding: str, limit: int) -> bytes:
    """What a body of this coding holds, at most `limit` bytes. Raises CodingError, TooLargeError."""
    if not coding or not body:
        return body
    try:
        return _READERS[coding](body, limit)
    except zlib.error as error:
        raise CodingError(f"the header Content-Encoding says {coding}, but the body is none: {error}") from error


def _gzip(body: bytes, limit: int) -> bytes:
    """One member after another (RFC 1952 §2.2)."""
    content = b""
    while body:
        reader = zlib.decompressobj(_GZIP)
        content += _out(reader, body, limit - len(content))
        body = reader.unused_data.lstrip(b"\0")
    return content


def _deflate(body: bytes, limit: int) -> bytes:
    """With the wrap that the standard asks for, or without, as some servers send it."""
    try:
        return _out(zlib.decompressobj(), body, limit)
    except zlib.error:
        return _out(zlib.decompressobj(_BARE), body, limit)


def _out(reader: "zlib._Decompress", body: bytes, limit: int) -> bytes:
    content = reader.decompress(body, limit + 1)
    if len(content) > limit:
        raise TooLargeError
    if not reader.eof:
        raise CodingError("the compressed body ends early")
    return content


_READERS: Mapping[str, Callable[[bytes, int], bytes]] = {"gzip": _gzip, "deflate": _deflate}
