"""Content-Encoding of bodies (RFC 9110 §8.4.1), decompressed within a limit."""

import zlib
from collections.abc import Iterator

from gateway.errors import Problem

PIECE_BYTES = 64 * 1024
_GZIP, _ZLIB, _RAW = 31, zlib.MAX_WBITS, -zlib.MAX_WBITS
"""The window bits by which zlib knows its formats: RFC 1952, 1950 and 1951."""
_MOST_MEMBERS = 4096
"""Of a gzip stream. BGZF begins a member every 64 KB; a body with more members than this is an attack."""

ACCEPTED = "identity, gzip;q=0.5, deflate;q=0.5"
"""The Accept-Encoding of our requests. Photos are compressed already, so no coding is preferred."""
_TAKEN = frozenset({"gzip", "deflate"})
_OTHERS = frozenset({"aes128gcm", "br", "compress", "dcb", "dcz", "exi", "pack200-gzip", "zstd"})
"""The other codings of IANA's registry. Other names are ignored, as they change no bytes: `aws-chunked`, which an SDK
leaves with an object, and what people write by mistake (`base64`, `utf-8`, `binary`, `none`)."""


class CodingError(ValueError):
    """A body cannot be decoded; the message says why, in whole sentences."""


class TooLargeError(ValueError):
    """The decoded body is larger than the limit."""


def coding_of(header: str) -> str:
    """`gzip` or `deflate`, or nothing. Raises CodingError for other codings, and for several."""
    named = [part.strip().lower().removeprefix("x-") for part in header.split(",")]
    codings = [one for one in named if one in _TAKEN | _OTHERS]
    if len(codings) > 1:
        raise CodingError(f"the body is encoded {len(codings)} times ({', '.join(codings)[:40]}); once is accepted.")
    coding = codings[0] if codings else ""
    if coding in _OTHERS:
        raise CodingError(f"the body comes {coding}-encoded; accepted are gzip, deflate and none.")
    return coding


def decoded(body: bytes, coding: str, limit: int) -> bytes:
    """Decode a body into at most `limit` bytes. Raises CodingError, TooLargeError."""
    if not coding:
        return body
    decoder, content = Decoder(coding), bytearray()
    try:
        for start in range(0, len(body), PIECE_BYTES):  # the end of a gzip member copies all that follows it
            for piece in decoder.pieces(body[start : start + PIECE_BYTES]):
                content += piece
                if len(content) > limit:
                    raise TooLargeError
        decoder.finish()
    except Problem as problem:
        raise CodingError(f"the header Content-Encoding says {coding}. {problem.detail}") from problem
    return bytes(content)


class Decoder:
    """Decodes gzip, in one member or several, or deflate, with or without the zlib header that it should have."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._members = 0
        self._first = b""
        self._stream: zlib._Decompress | None = None

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Decode more data, into pieces of at most PIECE_BYTES. Raises Problem `invalid_encoding`."""
        pending = False
        while data or pending:
            if self._stream is None:
                data = self._begin(data)
            if self._stream is None:
                return
            piece = self._decompress(self._stream, data)
            pending = len(piece) == PIECE_BYTES
            if self._stream.eof:
                data, pending, self._stream = self._stream.unused_data, False, None
            else:
                data = self._stream.unconsumed_tail
            if piece:
                yield piece

    def finish(self) -> None:
        """Note the end of the body. Raises Problem `invalid_encoding` if the stream has not ended."""
        if self._stream is not None or self._first:
            raise self._wrong("ends early; send all of it")

    def _begin(self, data: bytes) -> bytes:
        """Open a stream as soon as its first two bytes are there; return the bytes that it must read."""
        if self._members:
            data = data.lstrip(b"\0")  # gzip pads to the size of a tape's block
        data = self._first + data
        if len(data) < len(b"\x1f\x8b"):
            self._first = data
            return b""
        self._first = b""
        self._members += 1
        if self._members > (_MOST_MEMBERS if self._name == "gzip" else 1):
            raise self._wrong("goes on after its end; send it alone")
        self._stream = zlib.decompressobj(_GZIP if self._name == "gzip" else _deflate_bits(data))
        return data

    def _decompress(self, stream: "zlib._Decompress", data: bytes) -> bytes:
        try:
            return stream.decompress(data, PIECE_BYTES)
        except zlib.error as error:
            raise self._wrong(f"is damaged ({error}); send it as it was made") from error

    def _wrong(self, what: str) -> Problem:
        return Problem("invalid_encoding", f"The {self._name} stream {what}.")


def _deflate_bits(start: bytes) -> int:
    """A zlib header has 8 in the low half of its first byte, and is a multiple of 31 (RFC 1950 §2.2)."""
    is_zlib = start[0] & 0x0F == zlib.DEFLATED and int.from_bytes(start[:2], "big") % 31 == 0
    return _ZLIB if is_zlib else _RAW
